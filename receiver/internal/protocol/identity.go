// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"sync/atomic"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// made counts identities made in user space.
var made atomic.Uint64

// NewIdentity is for requests the kernel gave none. The kernel counts per CPU,
// with the CPU's number plus one in the upper 16 bits.
func NewIdentity() exchange.Identity {
	seed := 0xffff<<48 | made.Add(1)
	return exchange.Identity{Seed: seed, Trace: seed}
}

// Identify is the identity of a request that begins in a segment to which the kernel
// gave id; of that, Seed is zero if an earlier request of the segment has it. What one
// call sends was made for the same request.
//
// The kernel settles who the other end of a request is only where a turn begins. Of
// others both ends know where they begin: wire and position, as both count.
func Identify(id exchange.Identity, role exchange.Role, wire *exchange.Wire, position uint32, time uint64) exchange.Identity {
	if id.Seed != 0 {
		if role == exchange.RoleServer && id.Parent == 0 && wire != nil {
			// A turn here need not have been one at the client's end.
			id.Peer = identityOfServer(wire, position)
		}
		return id
	}
	if role != exchange.RoleClient {
		if wire == nil {
			return NewIdentity()
		}
		seed := identityOfServer(wire, position)
		return exchange.Identity{Seed: seed, Trace: seed}
	}
	own := NewIdentity()
	if id.Parent != 0 {
		own.Parent, own.Linked, own.Method = id.Parent, id.Linked, id.Method
		if !id.Method.IsLink() {
			own.Trace = id.Trace
		}
	}
	if wire.Shared(time) {
		own.Peer = identityOfServer(wire, position)
	}
	return own
}

// identityOfServer is the seed of the server's end of a request: the finaliser of
// MurmurHash3 makes 64 even bits of what is unique to it.
func identityOfServer(wire *exchange.Wire, position uint32) uint64 {
	x := wire.Key ^ uint64(position)*0x9e3779b97f4a7c15
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return x | 1
}
