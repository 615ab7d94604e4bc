// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/capture"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/connection"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/red"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/spans"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/workload"
)

const (
	// How long a reader sleeps between two looks into its ring: it adapts
	// between these to how much it found.
	minWait = 2 * time.Millisecond
	maxWait = 50 * time.Millisecond
	// Finished spans wait at most so long for a batch to fill.
	flushInterval = 200 * time.Millisecond
	sweepInterval = 5 * time.Second
)

// shard is one ring with all that handles its connections: one goroutine, no
// locks.
type shard struct {
	engine    *Engine
	ring      *capture.Ring
	tracker   *connection.Tracker
	builder   *spans.Builder // nil without a traces pipeline
	metrics   *red.Shard     // nil without a metrics pipeline
	segment   protocol.Segment
	batchSize int
	stopping  atomic.Bool
	first     bool // of the shards: looks after the probes
	// drained is the time up to which everything in the ring was read
	// (CLOCK_MONOTONIC, ns).
	drained atomic.Uint64
	// scanned is up to when it was at least scanned, which others may have wanted.
	scanned atomic.Uint64
	wanted  atomic.Bool
	answers answers
	// idle scans, if somebody waits for that, while the reader waits itself.
	idle func()
	// impatient is until when the others are not waited for.
	impatient uint64
	parties   map[who]*exchange.Party

	// The workload looked up last; exchanges come in runs.
	lastPID uint32
	lastGen uint64
	last    *workload.Workload

	copied    uint64
	published published
}

// published are the shard's counts as of its last turn, for other goroutines.
type published struct {
	segments, copied, unknown, lostBytes, evicted, mismatches atomic.Uint64
	connections                                               atomic.Int64
	protocols                                                 []publishedProtocol // as Engine.protocols
}

type publishedProtocol struct {
	exchanges                   [3]atomic.Uint64 // by role
	resyncs, invalid, unmatched atomic.Uint64
}

func newShard(e *Engine, ring *capture.Ring, policies connection.Policies, maxConnections int) *shard {
	s := &shard{
		engine:    e,
		ring:      ring,
		batchSize: e.settings.Config.Limits.SpansPerBatch,
	}
	s.idle = func() {
		if s.wanted.Load() {
			s.scan()
		}
	}
	s.builder = e.builder(s)
	if e.settings.Metrics != nil {
		s.metrics = e.metrics.Shard()
	}
	s.published.protocols = make([]publishedProtocol, len(e.protocols))
	s.tracker = connection.New(e.protocols, policies, s, maxConnections)
	return s
}

// stop makes run return after a last look into the ring.
func (s *shard) stop() {
	s.stopping.Store(true)
	s.ring.Wake()
}

func (s *shard) run() {
	wait := minWait
	flushed, swept := time.Now(), time.Now()
	for {
		// Asked before draining: what was recorded before the stop is read.
		stopping := s.stopping.Load()
		s.wanted.Store(false)
		began := monotonic()
		filled := s.ring.Drain(s.record)
		s.drained.Store(began)
		clear(s.answers.sockets)
		now := time.Now()
		if stopping || now.Sub(flushed) >= flushInterval {
			s.flush(stopping)
			flushed = now
		}
		if now.Sub(swept) >= sweepInterval {
			s.tracker.Sweep(monotonic())
			swept = now
		}
		s.publish()
		if s.first {
			if err := s.engine.probes.AttachWanted(); err != nil {
				s.engine.settings.Logger.Warn("cannot attach a probe that would help", zap.Error(err))
			}
		}
		if stopping {
			s.tracker.CloseAll()
			s.publish()
			s.scanned.Store(^uint64(0)) // nobody waits for us any more
			return
		}
		// Aim at a ring that is an eighth full at most.
		switch fill := filled * 8; {
		case fill > s.ring.Size():
			wait = max(wait/2, minWait)
		case fill < s.ring.Size()/4:
			wait = min(wait+wait/4+time.Millisecond, maxWait)
		}
		s.ring.Wait(wait)
	}
}

// record handles one record of the ring.
func (s *shard) record(b []byte) {
	if s.wanted.Load() {
		s.scan()
	}
	switch capture.Kind(b) {
	case capture.KindSegment:
		r, data := capture.AsSegment(b)
		if r == nil {
			return
		}
		g := &s.segment
		g.Dir = protocol.Direction(r.Dir & 1)
		g.Time = r.Time
		g.First = r.Time - uint64(r.FirstDelta)
		g.Len = int(r.Len)
		g.Data = data
		g.Tail = r.TailBytes()
		g.PID, g.TID = r.Tgid, r.Tid
		g.Identity = r.Causality()
		g.Measured = r.Measurements()
		g.Position = r.Position
		s.copied += uint64(len(data))
		s.tracker.Segment(r.Conn, r.Offset, g)
	case capture.KindOpen:
		o := capture.AsOpen(b)
		if o == nil {
			return
		}
		opening := connection.Opening{
			Connection: exchange.Connection{
				ID:        o.Conn,
				Role:      exchange.Role(o.Role),
				Transport: exchange.Transport(o.Transport),
				NetNS:     o.Netns,
				Comm:      o.Name(),
				Wire:      s.engine.wires.end(o.Wire, o.Time),
			},
			Midstream: o.Midstream(),
			Time:      o.Time,
		}
		if !opening.Midstream {
			opening.Connection.Opened = o.Time
		}
		s.uses(o, opening.Connection.Wire)
		s.opened(o)
		if opening.Connection.Transport == exchange.TransportUnix {
			opening.Connection.Path = o.UnixPath()
		} else {
			opening.Connection.Local, opening.Connection.Peer = o.LocalAddr(), o.PeerAddr()
		}
		s.tracker.Open(&opening)
	case capture.KindEnd:
		if r, _ := capture.AsSegment(b); r != nil {
			e := protocol.End{Dir: protocol.Direction(r.Dir & 1), Time: r.Time, Cause: cause(r.Len)}
			if e.Cause == exchange.FailureNone {
				e.Cause = exchange.FailureEOF
				if e.Dir == protocol.Sent {
					e.Cause = exchange.FailureClosed
				}
			}
			s.tracker.End(r.Conn, r.Offset, e)
		}
	case capture.KindClose:
		if r, _ := capture.AsSegment(b); r != nil {
			c := cause(r.Len)
			if c == exchange.FailureNone {
				c = exchange.FailureClosed
			}
			s.tracker.Gone(r.Conn, r.Offset, r.Time, c)
		}
	case capture.KindContext:
		if c := capture.AsContext(b); c != nil {
			s.engine.contexts.Carried(c.Identity, c.Remote())
		}
	case capture.KindExec:
		if p := capture.AsProcess(b); p != nil {
			s.engine.processes.Exec(p.Tgid, p.Name())
			s.engine.instrumented.forget(p.Tgid)
			s.engine.selection.executed(p.Tgid, p.File(), p.Time)
			s.engine.examiner.taken(p.Tgid)
		}
	case capture.KindFork:
		if p := capture.AsProcess(b); p != nil {
			s.engine.selection.forked(p.Tgid, p.Parent)
		}
	case capture.KindListen:
		if p := capture.AsProcess(b); p != nil {
			s.engine.selection.listens(p.Tgid)
		}
	case capture.KindExit:
		if p := capture.AsProcess(b); p != nil {
			s.engine.processes.Exit(p.Tgid)
			s.engine.instrumented.forget(p.Tgid)
			if names := s.engine.peers.names; names != nil {
				names.Exit(p.Tgid, p.Time)
			}
			s.engine.selection.forget(p.Tgid)
		}
	}
}

// cause of an end by its errno.
func cause(errno uint32) exchange.Failure {
	switch unix.Errno(errno) {
	case 0:
		return exchange.FailureNone
	case unix.ETIMEDOUT:
		return exchange.FailureTimeout
	default:
		return exchange.FailureReset
	}
}

// Begin implements exchange.Sink.
func (s *shard) Begin(x *exchange.Exchange) {
	x.Workload = nil
	if !s.engine.selection.allows(x.PID, s.first, s.idle) {
		return
	}
	x.Workload = s.workload(x.PID, x.Connection)
	if c := x.Connection; c != nil && !c.Known.Named {
		s.name(x)
	}
	if x.Identity.Peer != 0 || x.Remote.Valid {
		s.engine.contexts.Begin(x)
	}
	s.engine.instrumented.begin(x)
	if s.metrics != nil && x.Workload.Discovery.Metrics() {
		s.metrics.Begin(x)
	}
}

// End implements exchange.Sink.
func (s *shard) End(x *exchange.Exchange) {
	if x.Workload == nil {
		return
	}
	if s.engine.selection.interrupted(x.PID, x.Start) {
		// Its answer may be that to another request, sent while nobody looked.
		s.Abandon(x)
		return
	}
	if c := x.Connection; c != nil && !c.Known.Met && x.End >= c.Known.Again {
		s.meet(x)
	}
	x.Context = s.engine.contexts.Resolve(&causality.Request{Identity: x.Identity, Remote: x.Remote, Role: x.Role})
	sampled := false
	if s.builder != nil && x.Workload.Discovery.Traces() && !s.engine.instrumented.end(x) {
		sampled = s.builder.Add(x)
		if s.builder.Fresh() >= s.batchSize {
			s.flush(false)
		}
	}
	if s.metrics != nil && x.Workload.Discovery.Metrics() {
		s.metrics.End(x, sampled)
	}
}

// Abandon implements exchange.Sink.
func (s *shard) Abandon(x *exchange.Exchange) {
	if x.Workload != nil && s.metrics != nil {
		s.metrics.Abandon(x)
	}
}

// workload of a process that uses a connection. If it is gone already, a child of the one that
// used the connection first, perhaps, it had that one's name.
func (s *shard) workload(pid uint32, c *exchange.Connection) *workload.Workload {
	gen := s.engine.selection.generation.Load()
	if pid != s.lastPID || gen != s.lastGen || s.last == nil {
		if c != nil && c.Comm != "" {
			s.engine.processes.Hint(pid, c.Comm)
		}
		s.last, s.lastPID, s.lastGen = s.engine.processes.Lookup(pid), pid, gen
	}
	return s.last
}

// flush hands the finished spans on; all of them, if it is the last time.
func (s *shard) flush(last bool) {
	if s.builder == nil || s.builder.Len() == 0 {
		return
	}
	if t := s.builder.Take(last); t.ResourceSpans().Len() > 0 {
		s.engine.settings.Traces(t)
	}
}

func (s *shard) publish() {
	t := s.tracker.Stats()
	p := &s.published
	p.segments.Store(t.Segments)
	p.copied.Store(s.copied)
	p.unknown.Store(t.Unknown)
	p.lostBytes.Store(t.LostBytes)
	p.evicted.Store(t.Evicted)
	p.mismatches.Store(t.Mismatches)
	p.connections.Store(int64(s.tracker.Len()))
	for i, from := range t.ByProtocol {
		to := &p.protocols[i]
		to.resyncs.Store(from.Resyncs)
		to.invalid.Store(from.Invalid)
		to.unmatched.Store(from.Unmatched)
		for role, n := range from.Exchanges {
			to.exchanges[role].Store(n)
		}
	}
}

// monotonic is the probes' clock.
func monotonic() uint64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0 // the clock cannot be absent
	}
	return uint64(t.Nano())
}
