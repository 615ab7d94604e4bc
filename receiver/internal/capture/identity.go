// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// Identities turns the kernel's identity seeds, unique on a host, into trace
// and span ids, unique everywhere: hashes keyed with 192 random bits per start.
type Identities struct{ key [3]uint64 }

// NewIdentities draws a key.
func NewIdentities() (i Identities) {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	for j := range i.key {
		i.key[j] = binary.LittleEndian.Uint64(b[8*j:])
	}
	return i
}

// Of a seed; zero for none.
func (i *Identities) Of(seed uint64) (id exchange.Identity) {
	if seed == 0 {
		return id
	}
	binary.LittleEndian.PutUint64(id.TraceID[:8], mix64(seed+i.key[0]))
	binary.LittleEndian.PutUint64(id.TraceID[8:], mix64(seed^i.key[1]))
	// An all-zero id is invalid.
	binary.LittleEndian.PutUint64(id.SpanID[:], max(mix64(seed+i.key[2]), 1))
	return id
}

// mix64 is the finalizer of splitmix64 (Steele, Lea, Flood: Fast Splittable
// Pseudorandom Number Generators, OOPSLA 2014): a bijection, so different seeds
// never share a span id.
func mix64(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
