// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"strconv"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// response finds the exchange of a response and fills it in. False is a body that cannot
// be.
func (p *parser) response(h *header, body []byte, short bool, s *protocol.Segment) bool {
	if h.stream < 0 {
		return true // EVENT, or an error that concerns the connection
	}
	sl := p.flight[h.stream]
	if sl == nil {
		p.host.Stats.Unmatched++
		p.keep(h, body, short, s)
		return true
	}
	if !p.outcome(sl, h, body, short) {
		return false
	}
	delete(p.flight, h.stream)
	p.ending = sl
	return true
}

// outcome fills in what a response says; false if it cannot be one to that request.
func (p *parser) outcome(sl *slot, h *header, body []byte, short bool) bool {
	if sl.silent {
		return h.op != opResult && h.op != opEvent
	}
	d := &sl.d
	r := reader{b: body}
	r.prologue(h)
	switch h.op {
	case opError:
		d.Failed = true
		code := r.int()
		if !r.bad {
			p.scratch = strconv.AppendInt(p.scratch[:0], int64(code), 10)
			d.Status = p.host.Strings.String(p.scratch)
		}
		return short || !r.bad
	case opResult:
	default:
		return false
	}
	kind := r.int()
	if r.bad {
		if sl.use {
			p.keyspace = ""
		}
		return short
	}
	switch kind {
	case resultVoid, resultSchema:
	case resultRows:
		d.Rows = r.rows()
	case resultKeyspace:
		p.keyspace = ""
		if name := r.string(); !r.bad {
			p.keyspace, p.unseen = p.host.Strings.String(name), false
		}
	case resultPrepared:
		if id := r.string(); !r.bad && sl.prepare {
			p.statements.put(id, d.Text, &sl.prepared)
		}
	default:
		return false
	}
	return true
}
