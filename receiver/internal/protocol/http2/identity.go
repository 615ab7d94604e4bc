// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

// turn is the run of segments of requests at hand. The kernel gives its first segment
// an identity, which it takes for that of the one request in it, and joins both ends
// of the connection by where that segment begins. In HTTP/2 it may begin with other
// frames, and bring no request or several.
//
//   - The identity goes to the first request of the turn: what a server does meanwhile
//     is put down to that.
//   - A client's parent was found for the call that sent the segment. It is believed
//     for the first request of that segment, and for no other.
//   - A server's parent is the identity that the client's end gave to bytes that begin
//     in the same place. Only if the request itself begins there, both ends are certain
//     to mean the same; or if the connection begins there.
type turn struct {
	identity exchange.Identity
	from, to uint64 // of the segment, in the stream
	over     bool   // a response came since, or a request has the identity
}

// arrived notes a segment of requests.
func (p *parser) arrived(s *protocol.Segment, turn bool) {
	if s.Identity.Seed == 0 {
		if turn {
			p.turn.over = true
		}
		return
	}
	p.turn.identity = s.Identity
	p.turn.from, p.turn.to = s.Offset, s.Offset+uint64(s.Len)
	p.turn.over = false
}

// identify gives a request its identity.
func (p *parser) identify(c *call, from *stream.Origin) {
	t := &p.turn
	id := &c.x.Identity
	c.kernel, c.adopted = 0, false
	if t.over || from.Offset < t.from {
		*id = protocol.NewIdentity()
		return
	}
	t.over = true
	*id = t.identity
	c.kernel = id.Seed
	here := from.Offset < t.to
	if p.role == exchange.RoleClient {
		if !here {
			id.Parent, id.Linked, id.Method = 0, 0, exchange.MethodNone
		}
		return
	}
	if from.Offset == t.from || here && t.from == 0 {
		c.adopted = true
		return
	}
	if id.Trace != id.Parent {
		// Not the trace of the client's end of these bytes, but one they were sent
		// in; that may be another request's.
		id.Trace = id.Seed
	}
	id.Parent, id.Method = 0, exchange.MethodNone
}
