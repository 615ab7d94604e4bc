// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// MaxInFlight bounds the exchanges of a connection that wait for their end.
	MaxInFlight = 4096
	// maxFree bounds the exchanges kept for reuse.
	maxFree = 128
	// patience is how long a Receipt is waited for, ns.
	patience = 60e9
)

// Base is the state of a connection that all parsers have. It has to be initialised by
// Init, and Feed has to be called with every segment.
type Base struct {
	Host     protocol.Host
	Settings *messagingconv.Settings
	// System is messaging.system, Client the client's id as it introduced itself.
	System, Client string
	// Requests is the direction of what the client sends to the broker.
	Requests protocol.Direction
	Role     exchange.Role
	Streams  [2]stream.Stream
	// S is the segment at hand.
	S *protocol.Segment

	oldest, newest *Slot
	n              int
	free           []*Slot
	orphans        [maxOrphans]Orphan
	norphans       int
	started        bool
	last           protocol.Direction
	density        [2]density
	// unseen is when bytes of a direction were missed last.
	unseen [2]uint64
	window protocol.Window
}

// Init prepares a connection whose client sends in direction req.
func (b *Base) Init(host protocol.Host, settings *messagingconv.Settings, system string, req protocol.Direction) {
	if settings == nil {
		settings = &messagingconv.Settings{}
	}
	b.Host, b.Settings, b.System, b.Requests = host, settings, system, req
	b.Role = host.Role(req)
	b.window = dense
}

// Feed takes the next segment, and returns its direction's stream.
func (b *Base) Feed(s *protocol.Segment) *stream.Stream {
	b.S = s
	t := &b.Streams[s.Dir]
	t.Feed(s, !b.started || s.Dir != b.last)
	b.started, b.last = true, s.Dir
	for o := b.oldest; o != nil && o.Receipt && o.Complete+patience < s.Time; o = b.oldest {
		b.giveUp(o)
	}
	return t
}

// InFlight is the number of exchanges that wait for their end.
func (b *Base) InFlight() int { return b.n }

// Acquire makes the exchange of a message that begins at the position of the stream of
// direction dir. It is not known to the sink before Begin; Release takes it back.
func (b *Base) Acquire(dir protocol.Direction) *Slot {
	o := b.Streams[dir].Begin(b.Role)
	if dir != b.Requests {
		// What the broker sends unasked is no request as the kernel sees it.
		o.Identity = protocol.NewIdentity()
	}
	var s *Slot
	if n := len(b.free); n > 0 {
		s = b.free[n-1]
		b.free = b.free[:n-1]
	} else {
		s = &Slot{}
		s.X.Detail = &s.D
	}
	s.D.Settings, s.D.Strings, s.D.System, s.D.Client = b.Settings, b.Host.Strings, b.System, b.Client
	s.D.Reset()
	x := &s.X
	x.Connection, x.Role = b.Host.Connection, b.Role
	x.PID, x.TID = o.PID, o.TID
	x.Start, x.End = o.First, 0
	x.Identity = o.Identity
	x.Measured = exchange.Unmeasured
	x.Measured.QueueTime = o.Measured.QueueTime
	x.Failure = exchange.FailureNone
	s.EndDir = dir.Other()
	return s
}

// Release takes back an exchange that was not begun.
func (b *Base) Release(s *Slot) {
	s.clear()
	if len(b.free) < maxFree {
		b.free = append(b.free, s)
	}
}

// Begin tells the sink of an exchange that waits in a list for its end. If there are too
// many, the oldest of all is given up; so is one that may have ended unseen.
func (b *Base) Begin(s *Slot, l *List) {
	if s.X.Start <= b.unseen[s.EndDir] {
		// What ends it may have passed already.
		b.Host.Stats.Unmatched++
		b.Release(s)
		return
	}
	s.begun = true
	l.push(s)
	s.older = b.newest
	if b.newest == nil {
		b.oldest = s
	} else {
		b.newest.newer = s
	}
	b.newest = s
	b.n++
	b.Host.Sink.Begin(&s.X)
	if b.n > MaxInFlight {
		b.giveUp(b.oldest)
	}
}

// Once reports an exchange that is over.
func (b *Base) Once(s *Slot) {
	b.Host.Sink.Begin(&s.X)
	s.begun = true
	b.report(s, b.S.Time, &b.S.Measured, true)
}

// Finish reports an exchange that the segment at hand ends.
func (b *Base) Finish(s *Slot) {
	if id := &b.S.Identity; id.Peer != 0 && id.Peer == s.X.Identity.Seed {
		s.X.Identity.Learn(id)
	}
	b.report(s, b.S.Time, &b.S.Measured, b.n == 1)
}

// report tells the sink of the end; alone says that the thread's times are of this exchange only.
func (b *Base) report(s *Slot, time uint64, m *exchange.Measured, alone bool) {
	b.remove(s)
	x := &s.X
	x.End = max(time, x.Start)
	if m != nil {
		queueTime := x.Measured.QueueTime
		x.Measured = *m
		x.Measured.QueueTime = queueTime
		if !alone {
			x.Measured.ThreadCPU, x.Measured.RunQueue = exchange.NotMeasured, exchange.NotMeasured
		}
	}
	b.Host.Sink.End(x)
	b.Release(s)
}

// giveUp ends what nothing has ended for too long.
func (b *Base) giveUp(s *Slot) {
	if !s.Receipt {
		b.Host.Stats.Unmatched++
		b.Abandon(s)
		return
	}
	if s.Name != "" {
		s.D.Operation, s.D.Type = s.Name, s.Type
	}
	b.report(s, s.Complete, nil, false)
}

// GiveUp ends an exchange that nothing will end any more.
func (b *Base) GiveUp(s *Slot) {
	if s.Receipt {
		b.giveUp(s)
	} else {
		b.Abandon(s)
	}
}

// GiveUpAll does so for a list.
func (b *Base) GiveUpAll(l *List) {
	for l.front != nil {
		b.GiveUp(l.front)
	}
}

// Abandon takes an exchange back.
func (b *Base) Abandon(s *Slot) {
	b.remove(s)
	b.Host.Sink.Abandon(&s.X)
	b.Release(s)
}

// Unseen takes all exchanges back that bytes of a direction which were not seen may have
// ended, or changed.
func (b *Base) Unseen(dir protocol.Direction) {
	b.unseen[dir] = b.S.Time
	b.AbandonAll()
}

// AbandonAll takes all exchanges back.
func (b *Base) AbandonAll() {
	b.Host.Stats.Unmatched += uint64(b.n)
	for b.oldest != nil {
		b.Abandon(b.oldest)
	}
	b.norphans = 0
}

func (b *Base) remove(s *Slot) {
	if s.list == nil {
		return
	}
	s.leave()
	if s.older == nil {
		b.oldest = s.newer
	} else {
		s.older.newer = s.newer
	}
	if s.newer == nil {
		b.newest = s.older
	} else {
		s.newer.older = s.older
	}
	s.older, s.newer = nil, nil
	b.n--
}

// EndDirection implements the end of a direction, as protocol.Parser has it: what its bytes would
// have ended has failed. lost says of which directions it is not known where messages begin:
// what bytes of those would have ended may have ended unseen.
func (b *Base) EndDirection(e protocol.End, lost [2]bool) {
	all := e.Cause.Broken()
	if e.Cause == exchange.FailureNone {
		e.Cause = exchange.FailureEOF
		if e.Dir == protocol.Sent {
			e.Cause = exchange.FailureClosed
		}
	}
	for s := b.oldest; s != nil; {
		next := s.newer
		if all || s.EndDir == e.Dir {
			if lost[s.EndDir] {
				b.GiveUp(s)
			} else {
				b.fail(s, e.Time, e.Cause)
			}
		}
		s = next
	}
}

func (b *Base) fail(s *Slot, time uint64, cause exchange.Failure) {
	if s.Receipt {
		b.giveUp(s)
		return
	}
	s.X.Failure = cause
	b.report(s, time, nil, false)
}

// CloseAll implements protocol.Parser's Close; lost is as in EndDirection.
func (b *Base) CloseAll(time uint64, cause exchange.Failure, lost [2]bool) {
	for b.oldest != nil {
		switch {
		case b.oldest.Receipt:
			b.giveUp(b.oldest)
		case cause == exchange.FailureNone || lost[b.oldest.EndDir]:
			b.Abandon(b.oldest)
		default:
			b.fail(b.oldest, time, cause)
		}
	}
}
