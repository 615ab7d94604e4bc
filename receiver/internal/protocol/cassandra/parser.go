// SPDX-License-Identifier: Apache-2.0

package cassandra

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
	// maxInFlight bounds the requests of a connection that wait for responses, maxFree
	// those kept for reuse.
	maxInFlight = 2048
	maxFree     = 128
	// maxRequest and maxResponse are how much of a frame is read.
	maxRequest  = 64 << 10
	maxResponse = 16 << 10
	// maxFailures is how many frames that cannot be make a mismatch, without a
	// complete exchange between them.
	maxFailures = 4
	// maxEarly bounds the responses that are kept because they came before their
	// requests, maxEarlyBytes what is kept of each.
	maxEarly      = 256
	maxEarlyBytes = 1 << 10
)

// slot is one request in flight.
type slot struct {
	x      exchange.Exchange
	d      dbconv.Detail
	stream int16
	// silent: no exchange is made of it, but its response is waited for.
	silent bool
	// use: it may change the keyspace of the session.
	use bool
	// prepare: it is PREPARE, and said what in d.Text and prepared.
	prepare  bool
	prepared described
}

// side is one direction of the connection.
type side struct {
	stream.Stream
	// lost: the next frame or envelope is looked for at the beginnings of segments.
	lost bool
	// enveloped: what is in the stream are envelopes.
	enveloped bool
	in        inside
}

// early is a response that came before its request: a send is reported when the call
// returns, and by then another thread may have read the response; and of a request of
// which the end was lost, that shows with the next segment only.
type early struct {
	h        header
	time     uint64
	measured exchange.Measured
	body     []byte
	short    bool
}

// parser is one connection.
type parser struct {
	host       protocol.Host
	settings   *dbconv.Settings
	servers    *servers
	statements *statements
	direction  protocol.Direction
	role       exchange.Role
	err        error
	closed     bool

	begun   bool
	lastDir protocol.Direction
	now     uint64 // time of the segment
	// missedAt is when responses may have passed unseen last: to requests from before.
	missedAt  uint64
	req, resp side
	// head is the size of envelopes' headers, 0 if it is not known.
	head      int
	algorithm algorithm
	// keyspace is that of the session; unseen: requests were lost, which may have
	// changed it.
	keyspace string
	unseen   bool
	// moved is how much did in the turn; bulk: turns are long, but for so many small
	// ones.
	moved uint64
	bulk  bool
	small uint8

	flight map[int16]*slot
	free   []*slot
	// ending is the exchange of which the response is passing.
	ending *slot
	early  []early

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
		if found := p.synchronize(d, s, request); !found || s.Lost > 0 {
			p.missed(d)
			if !found {
				return p.err
			}
		}
		anew := *s
		anew.Lost = 0
		s = &anew
	}
	d.Feed(s, turn)
	if !d.enveloped {
		p.messages(d, &d.Stream, s, request)
	}
	if d.enveloped {
		p.envelopes(d, s, request)
	}
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

// synchronize looks for a frame, or an envelope, at the beginning of a segment.
func (p *parser) synchronize(d *side, s *protocol.Segment, request bool) bool {
	if d.enveloped {
		if !p.isEnvelope(s.Data) {
			return false
		}
		d.in.skip = true
	} else if v, _ := begins(s.Data, request); v != protocol.Accepted {
		return false
	}
	d.lost = false
	d.Clear()
	if !d.enveloped {
		p.host.Stats.Resyncs++
	}
	return true
}

// messages reads the frames in t, which are those of d.
func (p *parser) messages(d *side, t *stream.Stream, s *protocol.Segment, request bool) {
	for p.err == nil && !d.lost && !d.in.skip {
		if t.Ahead() > 0 {
			return
		}
		if !request && p.ending != nil {
			p.finish(p.ending, s.Time)
		}
		b, status := t.Peek(headSize)
		if status == stream.More {
			return
		}
		if status == stream.Hole {
			p.lose(d)
			return
		}
		h := parseHeader(b)
		valid := h.valid(request)
		if !d.enveloped && (!valid || h.v() == 5) && p.isEnvelope(b) {
			e, _ := parseEnvelope(b, p.head)
			d.enveloped, d.in.skip = true, p.host.MidStream && !e.whole
			return
		}
		if !valid {
			p.invalid(d)
			return
		}
		limit := maxResponse
		if request {
			limit = maxRequest
		}
		b, status = t.Peek(min(headSize+h.length, limit))
		if status == stream.More {
			return
		}
		if status == stream.Hole {
			b = t.Available()
			b = b[:min(len(b), limit)]
		}
		body := b[headSize:]
		short := len(body) < h.length
		if h.flags&flagCompressed != 0 && h.op != opStartup {
			body = p.unpacker.body(body, !short, p.algorithm)
			short = true // what is missing does not show
		}
		ok := false
		if request {
			ok = p.request(t, &h, body, short)
		} else {
			ok = p.response(&h, body, short, s)
		}
		if !ok {
			p.invalid(d)
			return
		}
		t.Discard(uint64(headSize + h.length))
		if !request && p.ending != nil && t.Ahead() == 0 {
			p.finish(p.ending, s.Time)
		}
		if request && len(p.early) > 0 {
			p.match(h.stream)
		}
	}
}

// lose forgets the boundaries of frames in one direction. Responses may pass unseen then,
// so nothing in flight is certain.
func (p *parser) lose(d *side) {
	if d.enveloped {
		d.in.skip = true
		d.in.frames.Clear()
	} else {
		d.lost = true
		d.Clear()
	}
	p.missed(d)
}

// missed notes that something passed in a direction and was not understood. What is in
// flight may have been answered, and its stream id be used again.
func (p *parser) missed(d *side) {
	if d == &p.req {
		p.unseen = true
		return
	}
	p.missedAt = p.now
	p.host.Stats.Unmatched += uint64(len(p.flight))
	for _, sl := range p.flight {
		p.unseen = p.unseen || sl.use
	}
	if p.unseen {
		p.keyspace, p.unseen = "", false
	}
	p.abandonAll()
}

// invalid counts a frame that cannot be.
func (p *parser) invalid(d *side) {
	p.host.Stats.Invalid++
	p.lose(d)
	if p.failures++; p.failures >= maxFailures {
		p.err = protocol.ErrMismatch
	}
}

func (p *parser) acquire() *slot {
	if n := len(p.free); n > 0 {
		sl := p.free[n-1]
		p.free = p.free[:n-1]
		return sl
	}
	sl := new(slot)
	sl.x.Connection, sl.x.Detail = p.host.Connection, &sl.d
	sl.d.Settings, sl.d.Strings, sl.d.System = p.settings, p.host.Strings, "cassandra"
	return sl
}

func (p *parser) recycle(sl *slot) {
	if len(p.free) < maxFree {
		sl.x.InFlight, sl.x.Workload = nil, nil
		p.free = append(p.free, sl)
	}
}

// begin puts a request in flight; nil if there are too many, or it may have been answered.
func (p *parser) begin(t *stream.Stream, h *header) *slot {
	origin := t.Begin(p.role)
	if old := p.flight[h.stream]; old != nil {
		// Its response was not seen.
		p.host.Stats.Unmatched++
		delete(p.flight, h.stream)
		p.abandon(old)
	}
	if origin.First <= p.missedAt {
		p.host.Stats.Unmatched++
		return nil
	}
	if len(p.flight) >= maxInFlight {
		return nil
	}
	sl := p.acquire()
	sl.stream, sl.silent, sl.use, sl.prepare = h.stream, false, false, false
	x, d := &sl.x, &sl.d
	x.PID, x.TID, x.Role = origin.PID, origin.TID, p.role
	x.Start, x.End, x.Failure = origin.First, 0, exchange.FailureNone
	x.Identity = origin.Identity
	x.Measured = exchange.Unmeasured
	x.Measured.QueueTime = origin.Measured.QueueTime
	d.Reset()
	d.Namespace = p.keyspace
	p.flight[h.stream] = sl
	return sl
}

// keep keeps a response without a request.
func (p *parser) keep(h *header, body []byte, short bool, s *protocol.Segment) {
	if len(p.early) == maxEarly {
		p.forget(0)
	}
	var memory []byte
	if k := len(p.early); k < cap(p.early) {
		memory = p.early[:k+1][k].body
	}
	n := min(len(body), maxEarlyBytes)
	p.early = append(p.early, early{
		h: *h, time: s.Time, measured: s.Measured, body: append(memory[:0], body[:n]...), short: short || n < len(body),
	})
}

// match ends the exchange whose response came before it.
func (p *parser) match(id int16) {
	for i := range p.early {
		e := &p.early[i]
		if e.h.stream != id {
			continue
		}
		if sl := p.flight[id]; sl != nil && sl.x.Start <= e.time && p.outcome(sl, &e.h, e.body, e.short) {
			delete(p.flight, id)
			p.host.Stats.Unmatched--
			later := p.measured
			p.measured = e.measured
			p.finish(sl, e.time)
			p.measured = later
		}
		p.forget(i)
		return
	}
}

// forget takes a kept response out; its memory stays behind the others.
func (p *parser) forget(i int) {
	e := p.early[i]
	n := len(p.early) - 1
	copy(p.early[i:], p.early[i+1:])
	p.early[n] = e
	p.early = p.early[:n]
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

func (p *parser) abandon(sl *slot) {
	if !sl.silent {
		p.host.Sink.Abandon(&sl.x)
	}
	p.recycle(sl)
}

// abandonAll takes all exchanges back.
func (p *parser) abandonAll() {
	if p.ending != nil {
		p.abandon(p.ending)
		p.ending = nil
	}
	for _, sl := range p.flight {
		p.abandon(sl)
	}
	clear(p.flight)
}
