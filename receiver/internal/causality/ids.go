// SPDX-License-Identifier: Apache-2.0

package causality

import (
	"crypto/rand"
	"encoding/binary"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// IDs turns the kernel's identities, unique on a host, into trace and span ids,
// unique everywhere: hashes keyed with 192 random bits per start. The kernel
// computes the same where it writes ids into packets (bpf/propagation.h).
type IDs struct{ Key [3]uint64 }

// NewIDs draws a key.
func NewIDs() (i IDs) {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	for j := range i.Key {
		i.Key[j] = binary.LittleEndian.Uint64(b[8*j:])
	}
	return i
}

// TraceID of the trace that begins with a request; zero for identity 0.
func (i *IDs) TraceID(identity uint64) (id pcommon.TraceID) {
	if identity != 0 {
		binary.LittleEndian.PutUint64(id[:8], mix64(identity+i.Key[0]))
		binary.LittleEndian.PutUint64(id[8:], mix64(identity^i.Key[1]))
	}
	return id
}

// SpanID of a request; zero for identity 0.
func (i *IDs) SpanID(identity uint64) (id pcommon.SpanID) {
	if identity != 0 {
		// An all-zero id is invalid.
		binary.LittleEndian.PutUint64(id[:], max(mix64(identity+i.Key[2]), 1))
	}
	return id
}

// mix64 is the finalizer of splitmix64 (Steele, Lea, Flood: Fast Splittable
// Pseudorandom Number Generators, OOPSLA 2014): a bijection, so different
// identities never share a span id.
func mix64(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
