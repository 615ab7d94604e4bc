// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"errors"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Policies is the way back to the kernel.
type Policies interface {
	// Capture sets how many bytes of every turn to copy by direction, and of
	// each further segment.
	Capture(conn uint64, received, sent uint32, after uint16)
	// Ignore switches a connection off but for one call in sampleOneIn, a
	// power of two; 0 means for good.
	Ignore(conn uint64, sampleOneIn uint32)
	// Announce asks for the connection's opening to be told again.
	Announce(conn uint64, received, sent uint32, after uint16)
}

// Opening tells of a connection that was first seen.
type Opening struct {
	Connection exchange.Connection
	// Midstream: bytes had moved before.
	Midstream bool
	Time      uint64 // CLOCK_MONOTONIC, ns
}

// Stats count what happened since the tracker was made.
type Stats struct {
	// Segments and Ended (END, CLOSE) records handled.
	Segments uint64
	// Unknown segments belong to connections whose opening was lost.
	Unknown uint64
	// LostBytes went by without being seen on connections that were parsed.
	LostBytes uint64
	// Evicted connections made room for others.
	Evicted uint64
	// Mismatches: verdicts withdrawn because the bytes stopped fitting.
	Mismatches uint64
	// ByProtocol is indexed as the protocols given to New.
	ByProtocol []protocol.Stats
}

const (
	// A connection no detector wants is looked at again once in so many
	// calls: it may have been judged by the middle of a message.
	resampleRejected = 1024
	resampleMismatch = 4096
	// Verdicts withdrawn before a connection is given up.
	maxMismatches = 3
	// Turns of an old connection, bytes and segments of any connection that
	// may pass before the detectors have to decide.
	maxUndecidedTurns    = 16
	maxUndecidedBytes    = 64 << 10
	maxUndecidedSegments = 16 << 10
	maxEvidence          = 8 << 10
	// Of a turn of an old connection, so much may wait.
	maxMidstreamBytes = 4 << 10
	// A unix socket's close is not reported by the kernel: connections whose
	// peer hung up, and idle ones, are forgotten after so long. ns.
	endedUnixAge = 30e9
	idleUnixAge  = 600e9
	// Nor is that of a UDP socket; those of clients mostly live for one question.
	idleUDPAge = 30e9
)

type state uint8

const (
	undecided state = iota
	parsing
	ignored
)

// conn is one tracked connection.
type conn struct {
	exchange.Connection
	state     state
	midstream bool
	// truncated: this turn's evidence ends with a capture that was cut.
	truncated  bool
	seen       [2]bool
	mismatches uint8
	turns      uint8
	lastDir    protocol.Direction
	next       [2]uint64 // stream offset expected
	lastTime   uint64
	endedTime  uint64
	parser     protocol.Parser
	window     protocol.Window
	evidence   [2][]byte
	pending    []pendingSegment
	bytes      []byte // of the pending segments, concatenated
}

// pendingSegment waits for the verdict. data and tail are ranges of bytes.
type pendingSegment struct {
	segment        protocol.Segment
	from, to, tail int
}

// Tracker owns the connections of one ring; it belongs to one goroutine.
type Tracker struct {
	conns     map[uint64]*conn
	protocols []protocol.Protocol
	datagrams []bool // by protocol
	policies  Policies
	sinks     []counter // by protocol
	strings   *intern.Table
	max       int
	stats     Stats
	// recent are connections by the lowest bits of their ids, which count up.
	recent [256]*conn
}

// New makes a tracker for at most limit connections.
func New(protocols []protocol.Protocol, policies Policies, sink exchange.Sink, limit int) *Tracker {
	t := &Tracker{
		conns:     make(map[uint64]*conn),
		protocols: protocols,
		policies:  policies,
		strings:   intern.New(0),
		max:       max(limit, 1),
		stats:     Stats{ByProtocol: make([]protocol.Stats, len(protocols))},
	}
	for i, p := range protocols {
		_, datagrams := p.(protocol.Datagrams)
		t.datagrams = append(t.datagrams, datagrams)
		t.sinks = append(t.sinks, counter{sink, &t.stats.ByProtocol[i]})
	}
	return t
}

// Stats returns the counters. ByProtocol is live: read it from the owning
// goroutine.
func (t *Tracker) Stats() Stats { return t.stats }

// Len is the number of connections tracked.
func (t *Tracker) Len() int { return len(t.conns) }

// Connection is one that is tracked; nil if it is not.
func (t *Tracker) Connection(id uint64) *exchange.Connection {
	if c := t.conns[id]; c != nil {
		return &c.Connection
	}
	return nil
}

// Open starts to track a connection.
func (t *Tracker) Open(o *Opening) {
	if c, ok := t.conns[o.Connection.ID]; ok {
		// Told again on request: put the policy back.
		t.applyPolicy(c)
		return
	}
	if len(t.conns) >= t.max {
		t.evict()
	}
	t.conns[o.Connection.ID] = &conn{
		Connection: o.Connection,
		midstream:  o.Midstream,
		lastTime:   o.Time,
		window:     protocol.DefaultWindow,
	}
	if o.Midstream {
		// Clears a request to announce, if that is what brought this about.
		w := protocol.DefaultWindow
		t.policies.Capture(o.Connection.ID, w.Received, w.Sent, w.After)
	}
}

// Segment handles bytes that moved; offset is that of the first of them in
// its direction's stream. s.Lost is filled in here.
func (t *Tracker) Segment(id, offset uint64, s *protocol.Segment) {
	t.stats.Segments++
	c := t.recent[id%uint64(len(t.recent))]
	if c == nil || c.ID != id {
		if c = t.conns[id]; c == nil {
			t.stats.Unknown++
			w := protocol.DefaultWindow
			t.policies.Announce(id, w.Received, w.Sent, w.After)
			return
		}
		t.recent[id%uint64(len(t.recent))] = c
	}
	dir := s.Dir
	s.Lost, s.Offset = 0, offset
	s.Wire = c.Wire
	switch {
	case c.seen[dir]:
		if offset > c.next[dir] {
			s.Lost = offset - c.next[dir]
		}
	case !c.midstream:
		s.Lost = offset
	}
	c.seen[dir] = true
	c.next[dir] = offset + uint64(s.Len)
	c.lastTime = s.Time
	if c.state == parsing {
		t.stats.LostBytes += s.Lost
		t.parse(c, s)
		return
	}
	t.detect(c, s)
}

func (t *Tracker) parse(c *conn, s *protocol.Segment) {
	err := c.parser.Segment(s)
	if errors.Is(err, protocol.ErrUpgraded) && t.upgrade(c, s) {
		return
	}
	if err != nil {
		t.withdraw(c, err)
		return
	}
	if w := c.parser.Window(); w != c.window {
		c.window = w
		t.applyPolicy(c)
	}
}

func (t *Tracker) applyPolicy(c *conn) {
	switch {
	case c.state != ignored:
		t.policies.Capture(c.ID, c.window.Received, c.window.Sent, c.window.After)
	case c.mismatches >= maxMismatches:
		t.policies.Ignore(c.ID, resampleMismatch)
	default:
		t.policies.Ignore(c.ID, resampleRejected)
	}
}

// upgrade lets the parser of another protocol go on, and reports whether there is one.
func (t *Tracker) upgrade(c *conn, s *protocol.Segment) bool {
	up, ok := c.parser.(protocol.Upgrader)
	if !ok {
		return false
	}
	u := up.Upgraded()
	for i, p := range t.protocols {
		next, ok := p.(protocol.Successor)
		if !ok || p.Name() != u.Protocol {
			continue
		}
		c.parser.Close(c.lastTime, exchange.FailureNone)
		c.parser = next.Resume(t.host(c, i), u)
		rest := *s
		done := len(s.Data) - u.Rest
		rest.Data, rest.Offset, rest.Len, rest.Lost = s.Data[done:], s.Offset+uint64(done), s.Len-done, 0
		rest.Identity = exchange.Identity{}
		if rest.Len > 0 {
			t.parse(c, &rest)
		} else {
			c.window = c.parser.Window()
			t.applyPolicy(c)
		}
		return true
	}
	return false
}

// host is what a parser of the protocol with an index works with.
func (t *Tracker) host(c *conn, index int) protocol.Host {
	return protocol.Host{
		Connection: &c.Connection,
		Sink:       &t.sinks[index],
		Stats:      &t.stats.ByProtocol[index],
		Strings:    t.strings,
		MidStream:  c.midstream,
	}
}

// withdraw ends parsing: for good if the connection changed its protocol in an
// orderly way, else until new evidence.
func (t *Tracker) withdraw(c *conn, err error) {
	c.parser.Close(c.lastTime, exchange.FailureNone)
	c.parser = nil
	c.window = protocol.DefaultWindow
	c.midstream = true
	c.forgetEvidence()
	if errors.Is(err, protocol.ErrOpaque) || errors.Is(err, protocol.ErrUpgraded) {
		c.state = ignored
		t.policies.Ignore(c.ID, 0)
		return
	}
	t.stats.Mismatches++
	c.mismatches++
	c.turns = 0
	if c.mismatches >= maxMismatches {
		c.state = ignored
	} else {
		c.state = undecided
	}
	t.applyPolicy(c)
}

// End reports the end of one direction. offset is how far its stream went, as in Gone.
func (t *Tracker) End(id, offset uint64, e protocol.End) {
	c := t.conns[id]
	if c == nil {
		return
	}
	t.unseen(c, e.Dir, offset, e.Time)
	if c.parser != nil {
		c.parser.End(e)
	}
	if c.endedTime == 0 {
		c.endedTime = e.Time
	}
}

// Gone reports that a connection is gone. received is how far its received
// stream went: bytes may have passed that no segment told of.
func (t *Tracker) Gone(id, received, time uint64, cause exchange.Failure) {
	if c := t.conns[id]; c != nil {
		t.unseen(c, protocol.Received, received, time)
	}
	t.Close(id, time, cause)
}

// unseen tells the parser of bytes at the end of a direction's stream that no segment told
// of: what was asked may have been answered in them.
func (t *Tracker) unseen(c *conn, dir protocol.Direction, offset, time uint64) {
	if c.state != parsing || offset <= c.next[dir] || c.midstream && !c.seen[dir] {
		return
	}
	s := protocol.Segment{Dir: dir, Time: time, First: time, Offset: offset, Lost: offset - c.next[dir], Wire: c.Wire}
	c.seen[dir], c.next[dir] = true, offset
	t.stats.LostBytes += s.Lost
	t.parse(c, &s)
}

// Close ends a connection that is complete as it is known.
func (t *Tracker) Close(id, time uint64, cause exchange.Failure) {
	c := t.conns[id]
	if c == nil {
		return
	}
	if c.parser != nil {
		c.parser.Close(time, cause)
	}
	delete(t.conns, id)
	if r := &t.recent[id%uint64(len(t.recent))]; *r == c {
		*r = nil
	}
}

// CloseAll abandons everything: the engine stops.
func (t *Tracker) CloseAll() {
	for id := range t.conns {
		t.Close(id, 0, exchange.FailureNone)
	}
}

// Sweep tells parsers the time, and forgets connections whose end the kernel does not
// report.
func (t *Tracker) Sweep(now uint64) {
	for id, c := range t.conns {
		if ticker, ok := c.parser.(protocol.Ticker); ok {
			ticker.Tick(now)
		}
		if c.Transport == exchange.TransportTCP {
			continue
		}
		idle := now - min(max(c.lastTime, c.endedTime), now)
		if c.Transport == exchange.TransportUDP {
			if idle > idleUDPAge {
				t.Close(id, now, exchange.FailureNone)
			}
			continue
		}
		if idle > idleUnixAge || c.endedTime != 0 && idle > endedUnixAge {
			t.Close(id, now, exchange.FailureNone)
		}
	}
}

// evict makes room. Map order is random, so the oldest of a few is nearly the
// least recently used at no bookkeeping cost.
func (t *Tracker) evict() {
	var oldest *conn
	n := 0
	for _, c := range t.conns {
		if oldest == nil || c.lastTime < oldest.lastTime {
			oldest = c
		}
		if n++; n == 16 {
			break
		}
	}
	if oldest != nil {
		t.stats.Evicted++
		t.Close(oldest.ID, oldest.lastTime, exchange.FailureNone)
	}
}

// counter counts what a parser ends on its way to the sink.
type counter struct {
	exchange.Sink
	stats *protocol.Stats
}

// End implements exchange.Sink.
func (c *counter) End(x *exchange.Exchange) {
	c.stats.Exchanges[x.Role]++
	c.Sink.End(x)
}
