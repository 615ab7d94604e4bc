// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// maxFailures is how many times in a row messages may be no messages before that
	// is a mismatch.
	maxFailures = 5
	// maxMisses is how many turns may pass while boundaries are lost.
	maxMisses = 64
	// quiet is a silence after which nothing is taken to be outstanding, ns.
	quiet = 1_000_000_000
)

// phase of the session.
type phase uint8

const (
	// phaseStartup: a startup packet comes; phaseEncryption: one byte answers it.
	phaseStartup phase = iota
	phaseEncryption
	phaseSession
	// phaseCancel: the connection was only for a CancelRequest.
	phaseCancel
)

// side is one direction.
type side struct {
	stream.Stream
	// lost: it is not known where messages begin.
	lost bool
	// last is the time of the last segment.
	last uint64
}

type parser struct {
	host      protocol.Host
	settings  *dbconv.Settings
	direction protocol.Direction
	role      exchange.Role
	closed    bool
	err       error

	phase     phase
	req, resp side
	session
	queue

	// namespace is db.namespace, made of database and schema; system is
	// db.system.name.
	database, schema, namespace, system string
	// escapes: standard_conforming_strings is off.
	escapes bool

	// pending is where the operation in progress began: its Parse or Bind.
	pending    stream.Origin
	hasPending bool
	// copying: the server waits for CopyData.
	copying bool

	dir protocol.Direction // of the last segment
	// any: there was one. behind: bytes were lost before the one at hand.
	any, behind bool
	failures    int
	misses      int // turns while boundaries were lost
	// measured is of the response direction's last segment.
	measured exchange.Measured
	ends     protocol.Ends
	// bytes and messages of the turn; bulk: there was one of large values.
	bytes, messages int
	bulk            bool
	// gap: answers were lost that no segment told of, since resp.lost.
	gap bool
	// declined: encryption was, before the request for it was reported.
	declined bool
	// requested and answered: there were messages; idle: the last one of the server
	// was ReadyForQuery.
	requested, answered, idle bool
}

var _ protocol.Parser = (*parser)(nil)

// dense is for messages that are short, with boundaries everywhere: everything; sparse is
// for large values. What follows one is few bytes (request.go, hole), and what ends an
// answer shows at its end (response.go, regain).
var (
	dense  = protocol.Window{Sent: 64 << 10, Received: 64 << 10, After: 65535}
	sparse = protocol.Window{Sent: 64 << 10, Received: 64 << 10, After: 512}
)

const (
	// A turn of more than bulkTurn bytes in messages of more than bulkMessage on
	// average is of large values.
	bulkTurn    = 256 << 10
	bulkMessage = 16 << 10
)

// Window implements protocol.Parser.
func (p *parser) Window() protocol.Window {
	if p.bulk {
		return sparse
	}
	return dense
}

// narrow ends bulk when boundaries are lost among many messages.
func (p *parser) narrow() {
	if p.messages > 32 {
		p.bulk = false
	}
}

// Segment implements protocol.Parser.
func (p *parser) Segment(s *protocol.Segment) error {
	if p.err != nil || p.closed {
		return p.err
	}
	turn := !p.any || s.Dir != p.dir
	first := !p.any
	p.any, p.dir = true, s.Dir
	if turn {
		if p.bytes > bulkTurn {
			p.bulk = p.bytes/max(p.messages, 1) > bulkMessage
		}
		p.bytes, p.messages = 0, 0
	}
	p.bytes += s.Len
	if first {
		p.begin(s)
	}
	if p.phase == phaseCancel {
		return nil
	}
	p.behind = s.Lost > 0
	if s.Dir == p.direction {
		p.requests(s, turn)
		p.req.last = s.Time
		p.replay()
	} else {
		p.measured = s.Measured
		if sl := p.oldest(); sl != nil && s.Identity.Peer != 0 && s.Identity.Peer == sl.x.Identity.Seed {
			sl.x.Identity.Learn(&s.Identity)
		}
		p.responses(s, turn)
		p.resp.last = s.Time
	}
	if turn && (p.req.lost || p.resp.lost) {
		if p.misses++; p.misses > maxMisses {
			p.err = protocol.ErrMismatch
		}
	}
	if p.err != nil {
		p.abandonAll()
	}
	return p.err
}

// begin settles whether the connection is seen from its beginning.
func (p *parser) begin(s *protocol.Segment) {
	p.phase = phaseSession
	if s.Offset != 0 || s.Lost != 0 {
		p.provisional = true
		return
	}
	if s.Dir == p.direction {
		if len(s.Data) == 0 || s.Data[0] == 0 {
			p.phase = phaseStartup
		} else {
			p.provisional = true
		}
	} else if len(s.Data) == 1 && s.Len == 1 || len(s.Data) > 1 && s.Data[0] == 'R' {
		p.phase = phaseStartup
	} else {
		p.provisional = true
	}
}

// failed counts what is no message.
func (p *parser) failed() {
	p.host.Stats.Invalid++
	if p.failures++; p.failures >= maxFailures {
		p.err = protocol.ErrMismatch
	}
}

// End implements protocol.Parser.
func (p *parser) End(e protocol.End) {
	if p.closed || p.err != nil {
		return
	}
	if p.ends.Note(&e, p.direction) {
		p.fail(e.Time, e.Cause)
	}
}

// Close implements protocol.Parser.
func (p *parser) Close(time uint64, cause exchange.Failure) {
	if p.closed {
		return
	}
	p.closed = true
	p.flushHeld()
	if p.err != nil || cause == exchange.FailureNone {
		p.abandonAll()
		return
	}
	for _, e := range p.ends {
		if e.Time != 0 && e.Time < time && (e.Dir != p.direction || e.Cause.Broken()) {
			time, cause = e.Time, e.Cause
		}
	}
	p.fail(time, cause)
}
