// SPDX-License-Identifier: Apache-2.0

package ordered

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/inflight"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// MaxInFlight bounds the requests of one connection that wait for their
	// responses, and the responses that wait for their requests.
	MaxInFlight = 4096
	// quiet is a silence after which nothing is taken to be outstanding, ns.
	quiet = 1_000_000_000
	// provenTurns is after how many turns the habit of a peer to wait for all
	// responses before it sends more is trusted.
	provenTurns = 2
	// probationTurns is for how many turns the exchanges of a client that was
	// connected before we came are held back.
	probationTurns = 8
)

// Slot is one exchange in flight. More is what the protocol wants to know about it.
type Slot[E any] struct {
	X    exchange.Exchange
	D    dbconv.Detail
	More E
}

// orphan is a response that came when no request was unanswered. On a client a send is
// reported when the call returns, and by then another thread may have read the response.
type orphan[R any] struct {
	response R
	time     uint64
}

// Pairing is the exchanges of one connection. R is what the protocol keeps of a response
// that comes just before its request. Use New.
type Pairing[E, R any] struct {
	host     protocol.Host
	settings *dbconv.Settings
	system   string
	requests protocol.Direction
	role     exchange.Role

	queue   inflight.Queue[Slot[E]]
	held    []*Slot[E]
	orphans []orphan[R]

	// certain: the queue holds every request that is unanswered. probation: as far as
	// can be told; what ends is held back. interleaved: requests were sent while others
	// were unanswered.
	certain, probation, interleaved bool
	// waits counts requests that began a turn with nothing outstanding; turns those of
	// the probation. Both stop where they are enough.
	waits, turns uint8

	// passed is when responses to requests from before may have come unseen, or did come.
	passed uint64
	// gap: requests were lost before the segment at hand, so that it may be what tells of
	// one that was answered by now. responded is when something was, last.
	gap       bool
	responded uint64

	lastDir  protocol.Direction
	seen     bool
	last     uint64 // time of the segment before
	now      uint64 // time of the segment
	measured exchange.Measured
	ends     protocol.Ends
	closed   bool
}

// New makes the Pairing of a connection whose requests travel in direction requests.
func New[E, R any](h protocol.Host, settings *dbconv.Settings, system string, requests protocol.Direction) Pairing[E, R] {
	p := Pairing[E, R]{host: h, settings: settings, system: system, requests: requests, role: h.Role(requests), certain: !h.MidStream}
	if p.role == exchange.RoleServer {
		p.waits = provenTurns
	}
	return p
}

// Role is the side this process is on.
func (p *Pairing[E, R]) Role() exchange.Role { return p.role }

// Segment has to be told of every segment before its bytes are looked at. It reports
// whether the segment begins a turn. It does not where bytes were lost before it: they
// may have been of the same turn.
func (p *Pairing[E, R]) Segment(s *protocol.Segment) (turn bool) {
	turn = (!p.seen || s.Dir != p.lastDir) && s.Lost == 0
	p.seen, p.lastDir = true, s.Dir
	p.last, p.now = p.now, max(p.now, s.Time)
	p.gap = s.Dir == p.requests && s.Lost > 0
	if s.Dir != p.requests {
		p.responded = p.now
		p.measured = s.Measured
		if sl := p.queue.Front(); sl != nil && s.Identity.Peer != 0 && s.Identity.Peer == sl.X.Identity.Seed {
			sl.X.Identity.Learn(&s.Identity)
		}
	}
	return turn
}

// Len is the number of requests in flight.
func (p *Pairing[E, R]) Len() int { return p.queue.Len() }

// At is the i-th of them, from the oldest.
func (p *Pairing[E, R]) At(i int) *Slot[E] { return p.queue.At(i) }

// Front is the exchange whose response is next, nil if there is none.
func (p *Pairing[E, R]) Front() *Slot[E] { return p.queue.Front() }

// Waits reports whether the peer that sends requests is known to wait for all responses
// before it sends more.
func (p *Pairing[E, R]) Waits() bool { return !p.interleaved && p.waits >= provenTurns }

// Acquire is a new exchange of a request that began at o. It is not in flight yet.
func (p *Pairing[E, R]) Acquire(o *stream.Origin) *Slot[E] {
	sl := p.queue.Acquire()
	if sl == nil {
		sl = new(Slot[E])
		sl.X.Connection, sl.X.Detail, sl.X.Role = p.host.Connection, &sl.D, p.role
		sl.D.Settings, sl.D.Strings, sl.D.System = p.settings, p.host.Strings, p.system
	}
	x := &sl.X
	x.PID, x.TID = o.PID, o.TID
	x.Start, x.End, x.Failure = o.First, 0, exchange.FailureNone
	x.Identity = o.Identity
	x.Measured = exchange.Unmeasured
	x.Measured.QueueTime = o.Measured.QueueTime
	sl.D.Reset()
	var none E
	sl.More = none
	return sl
}

// Release takes a slot back that was acquired, but not pushed.
func (p *Pairing[E, R]) Release(sl *Slot[E]) {
	sl.X.InFlight, sl.X.Workload = nil, nil
	p.queue.Recycle(sl)
}

// Push begins an exchange, if its response will be recognised; otherwise the slot is
// released. boundary says that no response is half read. Adopt has to be asked next.
func (p *Pairing[E, R]) Push(sl *Slot[E], o *stream.Origin, boundary bool) bool {
	if len(p.orphans) > 0 && o.First > p.orphans[0].time {
		// No request was to come: one was missed.
		p.forgetOrphans()
		p.fail()
	}
	if o.First <= p.passed || p.gap && o.First <= p.responded || !p.admit(o, boundary) {
		p.host.Stats.Unmatched++
		p.Release(sl)
		return false
	}
	if p.queue.Len() >= MaxInFlight {
		p.host.Stats.Resyncs++
		p.host.Stats.Unmatched++
		p.Release(sl)
		p.LoseResponses()
		p.interleaved = true
		return false
	}
	p.queue.Push(sl)
	p.host.Sink.Begin(&sl.X)
	return true
}

// admit reports whether the response to a new request will be recognised.
func (p *Pairing[E, R]) admit(o *stream.Origin, boundary bool) bool {
	silence := p.last != 0 && o.First >= p.last+quiet
	if p.certain {
		if o.Turn && p.last != 0 {
			switch {
			case p.queue.Len() > 0:
				p.interleaved = true
				if p.probation {
					p.fail()
					return false
				}
			case boundary && p.waits < provenTurns:
				p.waits++
			}
			if p.probation {
				if p.turns++; p.turns >= probationTurns || silence {
					p.pass()
				}
			}
		}
		return true
	}
	if p.queue.Len() > 0 || !boundary || !o.Turn && !silence {
		return false
	}
	switch {
	case silence, p.Waits():
	case p.interleaved:
		return false
	default:
		p.probation, p.turns = true, 0
	}
	p.certain = true
	return true
}

// pass ends the probation: what was held back is reported.
func (p *Pairing[E, R]) pass() {
	p.probation = false
	for i, sl := range p.held {
		p.held[i] = nil
		p.host.Sink.End(&sl.X)
		p.Release(sl)
	}
	p.held = nil
}

// fail is when requests turn out to be outstanding that were not known.
func (p *Pairing[E, R]) fail() {
	p.abandon()
	p.certain = false
	if p.role == exchange.RoleClient && p.waits < provenTurns {
		p.interleaved = true
	}
}

// abandon takes everything back that is not reported.
func (p *Pairing[E, R]) abandon() {
	p.host.Stats.Unmatched += uint64(len(p.held) + p.queue.Len())
	for i, sl := range p.held {
		p.held[i] = nil
		p.host.Sink.Abandon(&sl.X)
		p.Release(sl)
	}
	p.held, p.probation = nil, false
	for p.queue.Len() > 0 {
		sl := p.queue.Pop()
		p.host.Sink.Abandon(&sl.X)
		p.Release(sl)
	}
}

// Adopt is the response that came before the request pushed last, if one did, and when.
// It is of the oldest exchange in flight.
func (p *Pairing[E, R]) Adopt() (r R, time uint64, ok bool) {
	if len(p.orphans) == 0 || p.queue.Len() == 0 {
		return r, 0, false
	}
	o := p.orphans[0]
	p.orphans = append(p.orphans[:0], p.orphans[1:]...)
	return o.response, o.time, true
}

// Orphan keeps a response that no request waits for.
func (p *Pairing[E, R]) Orphan(r R, time uint64) {
	if !p.certain || p.role != exchange.RoleClient || len(p.orphans) >= MaxInFlight {
		p.host.Stats.Unmatched++
		p.passed = time
		return
	}
	p.orphans = append(p.orphans, orphan[R]{r, time})
}

func (p *Pairing[E, R]) forgetOrphans() {
	p.host.Stats.Unmatched += uint64(len(p.orphans))
	p.orphans = nil
}

// Finish reports the oldest exchange as answered; its response was complete at time.
func (p *Pairing[E, R]) Finish(time uint64) { p.finish(time, exchange.FailureNone) }

func (p *Pairing[E, R]) finish(time uint64, failure exchange.Failure) {
	sl := p.queue.Pop()
	x := &sl.X
	x.End, x.Failure = max(time, x.Start), failure
	queueTime := x.Measured.QueueTime
	x.Measured = p.measured
	x.Measured.QueueTime = queueTime
	if p.probation && len(p.held) < MaxInFlight {
		p.held = append(p.held, sl)
		return
	}
	p.host.Sink.End(x)
	p.Release(sl)
}

// Report begins and ends the exchange of a request that is not answered, whose last byte
// moved at time.
func (p *Pairing[E, R]) Report(sl *Slot[E], time uint64) {
	sl.X.End = max(time, sl.X.Start)
	p.host.Sink.Begin(&sl.X)
	p.host.Sink.End(&sl.X)
	p.Release(sl)
}

// LoseRequests says that requests may have passed unseen.
func (p *Pairing[E, R]) LoseRequests() {
	p.certain = false
	p.forgetOrphans()
	if p.probation {
		p.abandon()
	}
}

// LoseResponses says that responses may have passed unseen.
func (p *Pairing[E, R]) LoseResponses() {
	p.passed = p.now
	p.abandon()
	p.certain = false
	p.forgetOrphans()
}

// Mispaired says that a response cannot be that of the oldest exchange: requests or
// responses were missed. What was paired lately is out already.
func (p *Pairing[E, R]) Mispaired() {
	p.host.Stats.Invalid++
	p.LoseResponses()
	p.interleaved = p.interleaved || p.waits < provenTurns
}

// End implements protocol.Parser. Only the end of the direction responses travel in
// ends anything: a client may shut its sending side down and wait. A reset is
// different: it leaves nothing to be read, except by a client that could not write any
// more, since the response may have come before.
func (p *Pairing[E, R]) End(e protocol.End) {
	if p.closed {
		return
	}
	if p.ends.Note(&e, p.requests) {
		p.failAll(e.Time, e.Cause)
	}
}

// Close implements protocol.Parser.
func (p *Pairing[E, R]) Close(time uint64, cause exchange.Failure) {
	if p.closed {
		return
	}
	p.closed = true
	if cause == exchange.FailureNone {
		if p.queue.Len() == 0 && p.probation {
			p.pass()
		}
		p.abandon()
		return
	}
	p.failAll(time, cause)
}

// failAll ends every exchange in flight, because no more responses can come.
func (p *Pairing[E, R]) failAll(time uint64, cause exchange.Failure) {
	if p.probation {
		if p.queue.Len() > 0 {
			p.abandon()
		} else {
			p.pass()
		}
	}
	for p.queue.Len() > 0 {
		at, why := p.ends.Since(p.queue.Front().X.Start, time, cause, p.requests)
		p.finish(at, why)
	}
}
