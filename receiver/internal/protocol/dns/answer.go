// SPDX-License-Identifier: Apache-2.0

package dns

import "net/netip"

// Answer is where a name leads to.
type Answer struct {
	// Name is the one that was asked for, in lower case.
	Name string
	// Addresses are IPv4 addresses, or IPv6 ones, that the name leads to, over aliases or
	// directly. They are valid during the call they are passed to.
	Addresses []netip.Addr
	// TTL is the shortest time to live on the way, s.
	TTL uint32
}

// Reader reads answers out of single messages, for who cannot wait for a parser to get
// there. The zero value is ready to use.
type Reader struct{ m message }

// Answer reads a datagram; ok is false if it is no answer with addresses. Whether anybody
// has asked is not looked at.
func (r *Reader) Answer(b []byte) (a Answer, ok bool) {
	m := &r.m
	m.follow = true
	if len(b) < headerSize || b[2]&(flagResponse>>8) == 0 || b[3]&codeMask != 0 || !m.parse(b) {
		return a, false
	}
	if !m.asked || m.counts[0] != 1 || m.class != classIN || m.opcode() != opcodeQuery || m.code() != 0 || len(m.resolved) == 0 {
		return a, false
	}
	return Answer{Name: string(m.name), Addresses: m.resolved, TTL: m.ttl}, true
}
