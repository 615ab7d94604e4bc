// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// detect looks for the connection's protocol. Nearly always the first segment
// decides and nothing is copied; otherwise segments wait until one does.
func (t *Tracker) detect(c *conn, s *protocol.Segment) {
	turn := s.Dir != c.lastDir || c.turns == 0
	if c.state == ignored {
		// One call let through to look again: the middle of who knows what.
		c.midstream = true
		turn = true
	}
	c.lastDir = s.Dir
	if turn {
		c.turns = min(c.turns+1, maxUndecidedTurns+1)
		c.truncated = false
		if c.midstream {
			// Whatever came before may have begun anywhere; a turn begins
			// with a message.
			c.forgetEvidence()
		}
	} else if c.midstream && (len(c.pending) == 0 || len(c.bytes) > maxMidstreamBytes) {
		// This turn's beginning told nothing, and its middle will not.
		c.forgetEvidence()
		return
	}
	e := protocol.Evidence{Role: c.Role, Transport: c.Transport, MidStream: c.midstream}
	e.Bytes = c.evidence
	if len(c.evidence[s.Dir]) == 0 {
		e.Bytes[s.Dir] = s.Data
	} else if !c.truncated {
		room := max(maxEvidence-len(c.evidence[s.Dir]), 0)
		c.evidence[s.Dir] = append(c.evidence[s.Dir], s.Data[:min(len(s.Data), room)]...)
		e.Bytes[s.Dir] = c.evidence[s.Dir]
	}

	open := false
	for i, p := range t.protocols {
		if c.Transport == exchange.TransportUDP && !t.datagrams[i] {
			continue
		}
		verdict, requests := p.Detect(&e)
		switch verdict {
		case protocol.Accepted:
			t.accept(c, i, requests, s)
			return
		case protocol.Undecided:
			open = true
		}
	}
	if c.state == ignored {
		return
	}
	if !open && !c.midstream || c.turns > maxUndecidedTurns || !c.hold(s) {
		t.ignore(c)
	}
}

// ignore gives a connection up until a sample of it looks better.
func (t *Tracker) ignore(c *conn) {
	c.forgetEvidence()
	c.state = ignored
	t.applyPolicy(c)
}

// accept makes the parser and lets it have what has waited.
func (t *Tracker) accept(c *conn, index int, requests protocol.Direction, s *protocol.Segment) {
	was := c.state
	c.state = parsing
	if was == ignored {
		// Let the kernel send all of it again.
		s.Lost = 0
		t.applyPolicy(c)
	}
	c.parser = t.protocols[index].New(protocol.Host{
		Connection: &c.Connection,
		Sink:       &t.sinks[index],
		Stats:      &t.stats.ByProtocol[index],
		Strings:    t.strings,
		MidStream:  c.midstream,
	}, requests)
	pending, bytes := c.pending, c.bytes
	c.pending, c.bytes = nil, nil
	c.evidence = [2][]byte{}
	for i := range pending {
		p := &pending[i]
		p.segment.Data = bytes[p.from:p.to:p.to]
		p.segment.Tail = bytes[p.to:p.tail:p.tail]
		if t.parse(c, &p.segment); c.state != parsing {
			return
		}
	}
	t.parse(c, s)
}

// hold keeps a copy of a segment until the verdict; false if too much waits.
func (c *conn) hold(s *protocol.Segment) bool {
	if len(c.pending) >= maxUndecidedSegments || len(c.bytes)+len(s.Data) > maxUndecidedBytes {
		return false
	}
	if len(c.evidence[s.Dir]) == 0 {
		c.evidence[s.Dir] = append(c.evidence[s.Dir], s.Data[:min(len(s.Data), maxEvidence)]...)
	}
	c.truncated = c.truncated || len(s.Data) < s.Len
	p := pendingSegment{segment: *s, from: len(c.bytes)}
	c.bytes = append(c.bytes, s.Data...)
	p.to = len(c.bytes)
	c.bytes = append(c.bytes, s.Tail...)
	p.tail = len(c.bytes)
	p.segment.Data, p.segment.Tail = nil, nil
	c.pending = append(c.pending, p)
	return true
}

func (c *conn) forgetEvidence() {
	c.evidence = [2][]byte{}
	c.pending = nil
	c.bytes = nil
}
