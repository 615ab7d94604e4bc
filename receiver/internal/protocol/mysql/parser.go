// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/inflight"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// turnWindow is copied of every turn, everything of further segments, unless
	// turns are longer than bulkTurn: then only heads are.
	turnWindow = 64 << 10
	everything = 1<<16 - 1
	heads      = 64
	bulkTurn   = 1 << 20
	// smallTurns is after how many ordinary turns bulk is over.
	smallTurns = 16
	// maxInFlight bounds the commands of a connection that wait for responses.
	maxInFlight = 1024
	// maxQuery is how much of a text is looked at.
	maxQuery = 16 << 10
	// maxLogin is how much of the client's first packet is looked at.
	maxLogin = 2 << 10
	// maxPrefix is how much of an OK or ERR packet is looked at.
	maxPrefix = 1 << 10
	// maxFailures is how many packets that cannot be make a mismatch, without a
	// complete exchange between them; maxMisses how many turns without a command.
	maxFailures = 4
	maxMisses   = 32
	// quiet is a silence after which nothing is taken to be outstanding, ns.
	quiet = 1_000_000_000
)

// phase of the connection.
type phase uint8

const (
	// phaseGreeting: nothing has come yet.
	phaseGreeting phase = iota
	// phaseAnswer: the client's first packet is next.
	phaseAnswer
	// phaseLogin: rounds of authentication.
	phaseLogin
	// phaseCommand: commands and responses.
	phaseCommand
)

// side is one direction of the connection.
type side struct {
	// t is what packets are read from; z is in front of it if the connection is
	// compressed.
	t *stream.Stream
	z *inflater
	// lost: the boundaries of packets are not known.
	lost bool
	// candidate: what comes may be a command, or the middle of something.
	candidate bool
	// continued: the next packet is the rest of the one before.
	continued bool
	// last is the time of the last segment, moved the bytes of the turn.
	last, moved uint64
}

// parser is one connection.
type parser struct {
	host      protocol.Host
	settings  *dbconv.Settings
	direction protocol.Direction
	role      exchange.Role
	window    protocol.Window
	err       error
	closed    bool

	phase phase
	// system and namespace are of the connection; capabilities of both sides, if
	// known: the connection's beginning was seen.
	system, namespace string
	capabilities      uint64
	known             bool
	// eof: what CLIENT_DEPRECATE_EOF says or, on older connections, was learned: 0 is
	// not known, 1 there are EOF packets behind definitions, 2 there are none.
	eof uint8

	req, resp side
	begun     bool
	lastDir   protocol.Direction
	queue     inflight.Queue[slot]
	// current is the exchange of the command that is being read. turned: bytes of the
	// client came that begin a turn, and no command yet.
	current *slot
	turned  bool
	// ending: the response is complete when what is discarded has passed.
	ending bool
	// sliding: the client sends commands while others are answered. suspected: it
	// looks like that, but the response may have been lost.
	sliding, suspected bool
	// stray is the sequence id of an EOF packet that may still belong to the
	// response that was taken for complete; 0 if none.
	stray byte

	statements statements
	held       []held

	measured         exchange.Measured
	failures, misses int
	small            uint8
	scratch          []byte
	// ends of the directions (end.go).
	ends protocol.Ends
}

var _ protocol.Parser = (*parser)(nil)

// Segment implements protocol.Parser.
func (p *parser) Segment(s *protocol.Segment) error {
	if p.err != nil || p.closed {
		return p.err
	}
	turn := !p.begun || s.Dir != p.lastDir
	if !p.begun {
		p.begin(s)
	}
	p.lastDir = s.Dir
	if s.Dir == p.direction {
		p.volume(&p.req, s, turn)
		p.request(s, turn)
		p.req.last = s.Time
		if len(p.held) > 0 && p.err == nil {
			p.release()
		}
	} else {
		p.volume(&p.resp, s, turn)
		if p.queue.Len() == 0 {
			p.answered()
		}
		if p.resp.t.Ahead() == 0 && p.hold(s) {
			return p.err
		}
		p.response(s, turn)
		p.resp.last = s.Time
	}
	if p.err != nil {
		p.abandonAll()
	}
	return p.err
}

// begin decides whether the connection's beginning is seen.
func (p *parser) begin(s *protocol.Segment) {
	p.begun = true
	if s.Dir != p.direction && s.Lost == 0 && greeting(s.Data) != no {
		return
	}
	p.phase = phaseCommand
	p.req.lost, p.resp.lost = true, true
}

// volume adapts the window to how much moves.
func (p *parser) volume(d *side, s *protocol.Segment, turn bool) {
	if turn {
		if d.moved < bulkTurn && p.window.After == heads {
			if p.small++; p.small >= smallTurns {
				p.window.After = everything
			}
		}
		d.moved = 0
	}
	d.moved += uint64(s.Len) + s.Lost
	if d.moved >= bulkTurn {
		p.window.After, p.small = heads, 0
	}
}

// Window implements protocol.Parser.
func (p *parser) Window() protocol.Window { return p.window }

// read lets next take packets from a side until there is no more of the segment. It
// goes through decompression where there is one.
func (p *parser) read(d *side, s *protocol.Segment, turn bool, next func(*parser, *protocol.Segment)) {
	if d.z == nil {
		d.t.Feed(s, turn)
		next(p, s)
		if d.z == nil {
			d.t.Keep()
			return
		}
		// Compression begins behind what was read just now.
		at := d.t.Offset()
		d.t.Clear()
		d.z.raw.Feed(s, turn)
		d.z.raw.Discard(max(at, d.z.raw.Offset()) - d.z.raw.Offset())
	} else {
		d.z.raw.Feed(s, turn)
	}
	for p.err == nil && d.z != nil {
		inner, status := d.z.next(s, p.role)
		if status == inflateLost {
			p.lose(d)
			d.z.reset()
			return
		}
		if status == inflateMore {
			break
		}
		d.t.Feed(inner, d.z.turn)
		next(p, inner)
		d.t.Keep()
	}
	if d.z != nil {
		d.z.raw.Keep()
	}
}

// lose forgets the boundaries of one direction.
func (p *parser) lose(d *side) {
	if d == &p.req {
		p.loseRequests()
	} else {
		p.loseResponses()
	}
}

// loseRequests forgets where commands begin. Those in flight came before: their
// responses are next.
func (p *parser) loseRequests() {
	p.req.lost, p.req.continued, p.req.candidate = true, false, false
	p.req.t.Clear()
}

// loseResponses forgets where responses begin. One whose beginning was seen ends with
// the turn; whatever else is in flight is given up.
func (p *parser) loseResponses() {
	p.resp.lost, p.resp.continued, p.ending, p.stray = true, false, false, 0
	p.resp.t.Clear()
	if p.suspected {
		p.suspected = false
	}
	if p.partial() {
		p.loseRequests() // it may be answered before the rest of it is seen
	}
	if sl := p.queue.Front(); p.queue.Len() == 1 && sl.open {
		sl.d.Rows = -1
		sl.unseen = true
		return
	}
	p.host.Stats.Unmatched += uint64(p.queue.Len())
	p.abandonAll()
}

// answered: the server answers when nothing is in flight. If there is a part of a
// command, that is what it answers, and the rest of it was lost.
func (p *parser) answered() {
	if p.partial() {
		p.host.Stats.Unmatched++
		p.loseResponses()
	}
}

// partial reports whether a part of a command has come.
func (p *parser) partial() bool {
	d := &p.req
	return p.phase == phaseCommand && p.lastDir != p.direction && (len(d.t.Available()) > 0 || d.z != nil && len(d.z.raw.Available()) > 0)
}

// invalid counts a packet that cannot be.
func (p *parser) invalid(d *side) {
	p.host.Stats.Invalid++
	if d == &p.resp {
		p.host.Stats.Unmatched += uint64(p.queue.Len())
		p.abandonAll()
	}
	p.lose(d)
	if p.failures++; p.failures >= maxFailures {
		p.err = protocol.ErrMismatch
	}
}

// held is a response that came before its command: a send is reported when the call
// returns, and by then another thread may have read the response.
type held struct {
	segment protocol.Segment
	bytes   []byte
}

const (
	maxHeld      = 4
	maxHeldBytes = 16 << 10
)

// hold keeps a segment of responses for which there is no command; false if there is.
func (p *parser) hold(s *protocol.Segment) bool {
	if p.phase != phaseCommand || p.queue.Len() > 0 || p.resp.lost || p.req.lost || p.role != exchange.RoleClient || p.resp.z != nil {
		return false
	}
	if p.strayEOF(s) {
		return true
	}
	if len(p.held) == maxHeld || len(s.Data) > maxHeldBytes || s.Lost > 0 {
		p.host.Stats.Unmatched++
		p.held = p.held[:0]
		p.loseResponses()
		return true
	}
	h := held{segment: *s, bytes: append(append(make([]byte, 0, len(s.Data)+len(s.Tail)), s.Data...), s.Tail...)}
	h.segment.Data, h.segment.Tail = h.bytes[:len(s.Data):len(s.Data)], h.bytes[len(s.Data):]
	p.held = append(p.held, h)
	return true
}

// release reads what was held, if the command began before it came.
func (p *parser) release() {
	waiting := p.held
	p.held = nil
	for i := range waiting {
		s := &waiting[i].segment
		sl := p.queue.Front()
		if p.err != nil {
			return
		}
		if sl == nil || sl.x.Start > s.Time || p.resp.lost {
			// Nobody asked for it, like the notice of a server that shuts down.
			p.host.Stats.Unmatched++
			p.resp.t.Feed(s, true)
			p.resp.t.Clear()
			continue
		}
		p.response(s, i == 0)
	}
}

// strayEOF swallows an EOF packet behind definitions that was not expected, and learns
// from it.
func (p *parser) strayEOF(s *protocol.Segment) bool {
	b := s.Data
	if p.stray == 0 || len(b) != headSize+5 || s.Len != len(b) || length(b) != 5 || b[3] != p.stray || b[4] != headEOF {
		return false
	}
	p.stray, p.eof = 0, 1
	p.resp.t.Feed(s, false)
	p.resp.t.Clear()
	return true
}
