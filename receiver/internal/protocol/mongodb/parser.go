// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// turnWindow is copied of every turn, everything of further segments, unless
	// turns are longer than bulkTurn: then only heads are.
	turnWindow = 64 << 10
	everything = 1<<16 - 1
	heads      = 64
	bulkTurn   = 256 << 10
	// smallTurns is after how many ordinary turns bulk is over.
	smallTurns = 16
	// maxInFlight bounds the commands of a connection that wait for responses, maxFree
	// those kept for reuse.
	maxInFlight = 1024
	maxFree     = 64
	// maxRead is how much of a message is read.
	maxRead = 64 << 10
	// maxFailures is how many messages that cannot be make a mismatch, without a
	// complete exchange between them.
	maxFailures = 4
	// maxEarly bounds the responses that are kept because they came before their
	// commands, maxEarlyBytes what is kept of each.
	maxEarly      = 4
	maxEarlyBytes = 4 << 10
)

// slot is one command in flight.
type slot struct {
	x  exchange.Exchange
	d  dbconv.Detail
	id int32
	// silent: no exchange is made of it, but its response is waited for.
	silent bool
}

// side is one direction of the connection.
type side struct {
	stream.Stream
	// lost: the next message is looked for at the beginnings of segments.
	lost bool
}

// early is a response that came before its command: a send is reported when the call
// returns, and by then another thread may have read the response.
type early struct {
	id       int32
	time     uint64
	measured exchange.Measured
	op       int32
	body     []byte
}

// parser is one connection.
type parser struct {
	host      protocol.Host
	settings  *dbconv.Settings
	direction protocol.Direction
	role      exchange.Role
	err       error
	closed    bool

	begun   bool
	lastDir protocol.Direction
	now     uint64 // time of the segment
	// missedAt is when responses may have passed unseen last: to commands from before.
	missedAt  uint64
	req, resp side
	// moved is how much did in the turn; bulk: turns are long, but for so many small
	// ones.
	moved uint64
	bulk  bool
	small uint8
	// flight is in the order of the commands.
	flight, free []*slot
	// ending is the exchange of which the response is passing.
	ending *slot
	// exhaust is the id of a response after which more come, if exhausting.
	exhaust    int32
	exhausting bool
	early      []early

	measured exchange.Measured
	failures int
	scratch  []byte
	unpacker unpacker
	ends     protocol.Ends
}

var _ protocol.Parser = (*parser)(nil)

// Window implements protocol.Parser.
func (p *parser) Window() protocol.Window {
	w := protocol.Window{Sent: turnWindow, Received: turnWindow, After: everything}
	if p.bulk {
		w.After = heads
	}
	return w
}

// volume adapts the window to how much moves in a turn.
func (p *parser) volume(s *protocol.Segment, turn bool) {
	if turn {
		if p.bulk && p.moved < bulkTurn {
			p.small++
			p.bulk = p.small < smallTurns
		}
		p.moved = 0
	}
	p.moved += uint64(s.Len) + s.Lost
	if p.moved >= bulkTurn {
		p.bulk, p.small = true, 0
	}
}

// Segment implements protocol.Parser.
func (p *parser) Segment(s *protocol.Segment) error {
	if p.err != nil || p.closed {
		return p.err
	}
	turn := !p.begun || s.Dir != p.lastDir
	p.begun, p.lastDir, p.now = true, s.Dir, s.Time
	p.volume(s, turn)
	d := &p.resp
	request := s.Dir == p.direction
	if request {
		d = &p.req
	} else {
		p.measured = s.Measured
		if s.Identity.Peer != 0 {
			p.learn(s)
		}
	}
	if d.lost {
		found := p.synchronize(d, s, request)
		if !request && (!found || s.Lost > 0) {
			p.missed()
		}
		if !found {
			return p.err
		}
		anew := *s
		anew.Lost = 0
		s = &anew
	}
	d.Feed(s, turn)
	p.messages(d, s, request)
	if p.err == nil {
		d.Keep()
	} else {
		p.abandonAll()
	}
	return p.err
}

// learn takes over what the kernel knows by the time of the response.
func (p *parser) learn(s *protocol.Segment) {
	for _, sl := range p.flight {
		if sl.x.Identity.Seed == s.Identity.Peer {
			sl.x.Identity.Learn(&s.Identity)
			return
		}
	}
}

// synchronize looks for a message at the beginning of a segment.
func (p *parser) synchronize(d *side, s *protocol.Segment, request bool) bool {
	if len(s.Data) < headSize {
		return false
	}
	switch begins(s.Data, request) {
	case protocol.Rejected:
		return false
	case protocol.Undecided:
		if len(s.Data) != headSize { // a head that has a call of its own
			return false
		}
	}
	d.lost = false
	d.Clear()
	p.host.Stats.Resyncs++
	return true
}

// messages reads the messages of one direction.
func (p *parser) messages(d *side, s *protocol.Segment, request bool) {
	for p.err == nil && !d.lost {
		if d.Ahead() > 0 {
			return
		}
		if !request && p.ending != nil {
			p.finish(p.ending, s.Time)
		}
		b, status := d.Peek(headSize)
		if status == stream.More {
			return
		}
		if status == stream.Hole {
			p.lose(d)
			return
		}
		h := parseHeader(b)
		if !h.valid(request) {
			p.invalid(d)
			return
		}
		b, status = d.Peek(min(h.length, maxRead))
		if status == stream.More {
			return
		}
		if status == stream.Hole {
			b = d.Available()
		}
		body := b[headSize:]
		if h.op == opCompressed {
			h.op, body = p.unpacker.unpack(body, h.length-headSize)
		}
		ok := false
		if request {
			ok = p.command(&h, body)
		} else {
			ok = p.response(&h, body)
		}
		if !ok {
			p.invalid(d)
			return
		}
		d.Discard(uint64(h.length))
		if !request && p.ending != nil && d.Ahead() == 0 {
			p.finish(p.ending, s.Time)
		}
		if request && len(p.early) > 0 {
			p.match()
		}
	}
}

// lose forgets the boundaries of one direction. Responses may pass unseen then, so
// nothing in flight is certain.
func (p *parser) lose(d *side) {
	d.lost = true
	d.Clear()
	if d == &p.resp {
		p.missed()
	}
}

// missed: responses may have passed unseen.
func (p *parser) missed() {
	p.missedAt = p.now
	p.host.Stats.Unmatched += uint64(len(p.flight))
	p.exhausting = false
	p.abandonAll()
}

// invalid counts a message that cannot be.
func (p *parser) invalid(d *side) {
	p.host.Stats.Invalid++
	p.lose(d)
	if p.failures++; p.failures >= maxFailures {
		p.err = protocol.ErrMismatch
	}
}

// command begins the exchange of a request; body may be cut, and is nil if it could not
// be decompressed.
func (p *parser) command(h *header, body []byte) bool {
	switch h.op {
	case opUpdate, opInsert, opDelete, opKillCursors:
		return true // older ones, without a response
	case opMsg, opQuery, opGetMore, opCompressed:
	default:
		return false
	}
	m, ok := message{}, true
	if body != nil && h.op != opGetMore && h.op != opCompressed {
		if m, ok = parseBody(h.op, body); !ok && len(body) >= h.length-headSize {
			return false
		}
	}
	origin := p.req.Begin(p.role)
	if m.flags&flagMoreToCome != 0 {
		return true
	}
	if origin.First <= p.missedAt {
		p.host.Stats.Unmatched++
		return true
	}
	if len(p.flight) >= maxInFlight {
		p.host.Stats.Unmatched += uint64(len(p.flight))
		p.abandonAll()
	}
	sl := p.acquire()
	sl.id = h.id
	x, d := &sl.x, &sl.d
	x.PID, x.TID, x.Role = origin.PID, origin.TID, p.role
	x.Start, x.End, x.Failure = origin.First, 0, exchange.FailureNone
	x.Identity = origin.Identity
	x.Measured = exchange.Unmeasured
	x.Measured.QueueTime = origin.Measured.QueueTime
	d.Reset()
	d.System, d.Namespace = "mongodb", ""
	sl.silent = false
	if m.document != nil {
		p.describe(sl, &m)
	}
	p.flight = append(p.flight, sl)
	if !sl.silent {
		p.host.Sink.Begin(x)
	}
	return true
}

func (p *parser) acquire() *slot {
	if n := len(p.free); n > 0 {
		sl := p.free[n-1]
		p.free = p.free[:n-1]
		return sl
	}
	sl := new(slot)
	sl.x.Connection, sl.x.Detail = p.host.Connection, &sl.d
	sl.d.Settings, sl.d.Strings = p.settings, p.host.Strings
	return sl
}

func (p *parser) recycle(sl *slot) {
	if len(p.free) < maxFree {
		sl.x.InFlight, sl.x.Workload = nil, nil
		p.free = append(p.free, sl)
	}
}

// take takes the exchange with an id out of flight; nil if there is none.
func (p *parser) take(id int32) *slot {
	for i, sl := range p.flight {
		if sl.id == id {
			copy(p.flight[i:], p.flight[i+1:])
			p.flight[len(p.flight)-1] = nil
			p.flight = p.flight[:len(p.flight)-1]
			return sl
		}
	}
	return nil
}

// response reads a response; body may be cut, and is nil if it could not be
// decompressed.
func (p *parser) response(h *header, body []byte) bool {
	m, ok := message{}, true
	if body != nil && h.op != opCompressed {
		if m, ok = parseBody(h.op, body); !ok && len(body) >= h.length-headSize {
			return false
		}
	}
	if p.exhausting && h.response == p.exhaust {
		p.exhaust, p.exhausting = h.id, m.flags&flagMoreToCome != 0
		return true
	}
	sl := p.take(h.response)
	if sl == nil {
		p.host.Stats.Unmatched++
		if p.role == exchange.RoleClient {
			p.keep(h, body)
		} else {
			p.missedAt = p.now // the end of its command has not been seen yet
		}
		return true
	}
	p.exhaust, p.exhausting = h.id, m.flags&flagMoreToCome != 0
	p.outcome(&sl.d, &m)
	p.ending = sl
	return true
}

// keep keeps a response without a command.
func (p *parser) keep(h *header, body []byte) {
	if len(p.early) == maxEarly {
		p.early = append(p.early[:0], p.early[1:]...)
	}
	p.early = append(p.early, early{
		id: h.response, time: p.resp.Begin(p.role).First, measured: p.measured, op: h.op,
		body: append([]byte(nil), body[:min(len(body), maxEarlyBytes)]...),
	})
}

// match ends the exchange whose response came before it.
func (p *parser) match() {
	sl := p.flight[max(len(p.flight)-1, 0):]
	for i := range p.early {
		e := &p.early[i]
		if len(sl) == 0 || sl[0].id != e.id {
			continue
		}
		if sl[0].x.Start <= e.time {
			found := p.take(e.id)
			m, _ := parseBody(e.op, e.body)
			p.outcome(&found.d, &m)
			p.host.Stats.Unmatched--
			later := p.measured
			p.measured = e.measured
			p.finish(found, e.time)
			p.measured = later
		}
		p.early = append(p.early[:i], p.early[i+1:]...)
		return
	}
}

// finish reports an exchange that is out of flight.
func (p *parser) finish(sl *slot, time uint64) {
	if p.ending == sl {
		p.ending = nil
	}
	p.failures = 0
	p.report(sl, time, exchange.FailureNone)
}

func (p *parser) report(sl *slot, time uint64, failure exchange.Failure) {
	if !sl.silent {
		x := &sl.x
		x.End, x.Failure = max(time, x.Start), failure
		queued := x.Measured.QueueTime
		x.Measured = p.measured
		x.Measured.QueueTime = queued
		p.host.Sink.End(x)
	}
	p.recycle(sl)
}

// abandonAll takes all exchanges back.
func (p *parser) abandonAll() {
	if p.ending != nil {
		p.flight = append(p.flight, p.ending)
		p.ending = nil
	}
	for i, sl := range p.flight {
		if !sl.silent {
			p.host.Sink.Abandon(&sl.x)
		}
		p.recycle(sl)
		p.flight[i] = nil
	}
	p.flight = p.flight[:0]
}

// End implements protocol.Parser. The end of the direction responses travel in ends
// what is in flight; a reset does so in either, as far as the process has noticed.
func (p *parser) End(e protocol.End) {
	if p.err != nil || p.closed {
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
	if p.err != nil || cause == exchange.FailureNone {
		p.abandonAll()
		return
	}
	p.fail(time, cause)
}

// fail ends what is in flight: no more can come.
func (p *parser) fail(time uint64, cause exchange.Failure) {
	if p.resp.lost {
		p.missed()
		return
	}
	if p.ending != nil {
		p.flight = append(p.flight, p.ending)
		p.ending = nil
	}
	for i, sl := range p.flight {
		at, why := p.ends.Since(sl.x.Start, time, cause, p.direction)
		p.report(sl, at, why)
		p.flight[i] = nil
	}
	p.flight = p.flight[:0]
}
