// SPDX-License-Identifier: Apache-2.0

package recorded

import (
	"fmt"
	"math"
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/connection"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Replay is a way to see a conversation: from one of its ends, through the tracker that
// detects the protocol. The zero value but for Role sees all of it.
type Replay struct {
	Role exchange.Role
	// Cut is the length of the next segment, of n bytes that are left of a piece; nil
	// means n.
	Cut func(n int) int
	// Lose reports whether the next segment is lost; nil means that none is.
	Lose func() bool
	// Copy is how many of a segment's n bytes are copied; nil means n. Of the others the
	// last eight are.
	Copy func(n int) int
	// Kernel: copied is what the kernel copies, by what the parser asks for.
	Kernel bool
	// Skip is how many pieces were sent before anybody looked, Until, if not zero, how
	// many before nobody did any more.
	Skip, Until int
	// Cut off: the connections are forgotten in the end, they do not close.
	Forget bool
}

// Result is what came out.
type Result struct {
	// Lines are the exchanges that ended, sorted.
	Lines []string
	// Messages is how many messages those of a line were of.
	Messages  map[string]int
	Abandoned int
	Stats     connection.Stats
	// Wrong is what a Sink must never see.
	Wrong []string
}

// statuses are attributes that tell how an exchange went, the more telling ones first.
var statuses = []string{"http.response.status_code", "rpc.response.status_code", "db.response.status_code", "ebpf.dns.response.code", "error.type"}

// Line is an exchange as text: the name of its span, and its status.
func Line(x *exchange.Exchange) string {
	line, _ := describe(x)
	return line
}

func describe(x *exchange.Exchange) (line string, messages int) {
	m := pcommon.NewMap()
	x.Detail.PutSpanAttributes(x, m)
	line, messages = x.Detail.SpanName(x), 1
	for _, key := range statuses {
		if v, ok := m.Get(key); ok {
			line += " " + v.AsString()
			break
		}
	}
	if v, ok := m.Get("messaging.batch.message_count"); ok {
		messages = int(v.Int())
	}
	return line, messages
}

// player is the Sink and the kernel of a replay.
type player struct {
	replay  Replay
	tracker *connection.Tracker
	conns   map[uint64]*endpoint
	open    map[*exchange.Exchange]exchange.Identity
	used    map[uint64]bool
	now     uint64
	quiet   bool
	Result
}

// endpoint is what the kernel knows of a connection.
type endpoint struct {
	id       uint64
	offset   [2]uint64
	ended    [2]bool
	requests protocol.Direction
	// datagrams: nobody tells when the connection ends.
	datagrams, ignored bool
	// all: everything is copied until the parser says what it wants.
	all    bool
	window protocol.Window
	turn   protocol.Direction
	moved  uint64 // in this turn
}

func newPlayer(all []protocol.Protocol, r Replay) *player {
	p := &player{replay: r, conns: map[uint64]*endpoint{}, open: map[*exchange.Exchange]exchange.Identity{}, used: map[uint64]bool{}, now: 1e9}
	p.Messages = map[string]int{}
	p.tracker = connection.New(all, p, p, 1<<10)
	return p
}

// Capture implements connection.Policies.
func (p *player) Capture(id uint64, received, sent uint32, after uint16) {
	e := p.conns[id]
	e.all, e.window = false, protocol.Window{Received: received, Sent: sent, After: after}
}

// Ignore implements connection.Policies. Nothing is let through for a second look.
func (p *player) Ignore(id uint64, _ uint32) { p.conns[id].ignored = true }

// Announce implements connection.Policies.
func (*player) Announce(uint64, uint32, uint32, uint16) {}

// Begin implements exchange.Sink.
func (p *player) Begin(x *exchange.Exchange) {
	if p.quiet {
		return
	}
	if _, ok := p.open[x]; ok {
		p.Wrong = append(p.Wrong, "begin of an exchange in flight")
	}
	if x.Identity.Seed == 0 || p.used[x.Identity.Seed] {
		p.Wrong = append(p.Wrong, "begin without an identity of its own")
	}
	p.open[x] = x.Identity
	p.used[x.Identity.Seed] = true
}

func (p *player) take(x *exchange.Exchange) {
	if id, ok := p.open[x]; !ok || id != x.Identity {
		p.Wrong = append(p.Wrong, "end without begin")
	}
	delete(p.open, x)
}

// End implements exchange.Sink.
func (p *player) End(x *exchange.Exchange) {
	if p.quiet {
		return
	}
	p.take(x)
	if x.End < x.Start {
		p.Wrong = append(p.Wrong, "ends before it starts")
	}
	if traces, metrics := x.Detail.Suppressed(x); traces && metrics {
		return
	}
	line, messages := describe(x)
	p.Lines = append(p.Lines, line)
	p.Messages[line] += messages
}

// Abandon implements exchange.Sink.
func (p *player) Abandon(x *exchange.Exchange) {
	p.Abandoned++
	if !p.quiet {
		p.take(x)
	}
}

// begins reports whether the kernel copies everything behind such a beginning.
func begins(all []protocol.Protocol, b []byte) bool {
	for _, one := range all {
		beginner, ok := one.(protocol.Beginner)
		if !ok {
			continue
		}
		for _, want := range beginner.Beginnings() {
			if len(b) < min(len(want.Bytes), 8) {
				continue
			}
			same := true
			for i := range min(len(want.Bytes), len(b)) {
				same = same && (want.Mask != "" && want.Mask[i] == 0 || want.Bytes[i] == b[i])
			}
			if same {
				return true
			}
		}
	}
	return false
}

// copied is how much of a segment the kernel copies.
func (e *endpoint) copied(dir protocol.Direction, n int) int {
	if e.turn != dir {
		e.turn, e.moved = dir, 0
	}
	first := e.moved == 0
	window := uint64(e.window.Received)
	if dir == protocol.Sent {
		window = uint64(e.window.Sent)
	}
	copied := int(min(uint64(n), window-min(window, e.moved)))
	e.moved += uint64(n)
	switch {
	case e.all || e.window.After == protocol.EverySegment:
		return n
	case first:
		return copied
	}
	return max(copied, min(n, int(e.window.After)))
}

// play passes the pieces; ids of connections are those of the conversation plus base.
func (p *player) play(all []protocol.Protocol, c *Conversation, base uint64) {
	var seen map[uint64]bool
	if p.replay.Skip > 0 {
		seen = map[uint64]bool{}
	}
	until := p.replay.Until
	if until == 0 {
		until = len(c.Pieces)
	}
	for i := range c.Pieces[:until] {
		piece := &c.Pieces[i]
		id := base + uint64(piece.Connection)
		if i < p.replay.Skip {
			seen[id] = true
			continue
		}
		e := p.conns[id]
		if e == nil {
			e = &endpoint{id: id, window: protocol.DefaultWindow, requests: protocol.RequestsOf(p.replay.Role), datagrams: c.Datagrams}
			e.all = !seen[id] && begins(all, piece.Bytes)
			p.conns[id] = e
			o := connection.Opening{Connection: exchange.Connection{ID: id, Role: p.replay.Role}, Midstream: seen[id], Time: p.now}
			if c.Datagrams {
				o.Connection.Transport = exchange.TransportUDP
			}
			p.tracker.Open(&o)
		}
		dir := e.requests
		if !piece.Client {
			dir = dir.Other()
		}
		p.now += 1000
		if piece.End {
			p.end(e, dir)
			continue
		}
		for rest := piece.Bytes; len(rest) > 0; {
			n := len(rest)
			if p.replay.Cut != nil && !c.Datagrams {
				n = p.replay.Cut(n)
			}
			p.segment(e, dir, rest[:n:n])
			rest = rest[n:]
		}
	}
}

func (p *player) segment(e *endpoint, dir protocol.Direction, b []byte) {
	p.now += 10
	offset := e.offset[dir]
	e.offset[dir] += uint64(len(b))
	if p.replay.Lose != nil && p.replay.Lose() || e.ignored {
		return
	}
	s := protocol.Segment{Dir: dir, Time: p.now, First: p.now - 1, Len: len(b), Data: b, PID: 7, TID: 8, Measured: exchange.Unmeasured}
	n := len(b)
	if p.replay.Kernel {
		n = e.copied(dir, n)
	} else if p.replay.Copy != nil {
		n = p.replay.Copy(n)
	}
	if n < len(b) {
		s.Data, s.Tail = b[:n:n], b[max(n, len(b)-8):]
	}
	s.Identity = protocol.NewIdentity()
	p.tracker.Segment(e.id, offset, &s)
}

func (p *player) end(e *endpoint, dir protocol.Direction) {
	if !e.ended[dir] && !e.ignored {
		p.tracker.End(e.id, e.offset[dir], protocol.End{Dir: dir, Time: p.now, Cause: ended(dir)})
	}
	e.ended[dir] = true
}

// ended is how a direction ends in order.
func ended(dir protocol.Direction) exchange.Failure {
	if dir == protocol.Sent {
		return exchange.FailureClosed
	}
	return exchange.FailureEOF
}

// finish ends the connections.
func (p *player) finish() *Result {
	p.now += 1000
	for id := range uint64(math.MaxUint16) {
		e := p.conns[id]
		switch {
		case e == nil:
		case p.replay.Forget || e.datagrams:
			p.tracker.Close(id, p.now, exchange.FailureNone)
		default:
			p.end(e, protocol.Sent)
			p.tracker.Gone(id, e.offset[protocol.Received], p.now, exchange.FailureClosed)
		}
	}
	if len(p.open) > 0 {
		p.Wrong = append(p.Wrong, fmt.Sprintf("%d begun and never ended", len(p.open)))
	}
	p.Stats = p.tracker.Stats()
	slices.Sort(p.Lines)
	return &p.Result
}

// Play shows a conversation to the parsers of protocols.
func Play(all []protocol.Protocol, c *Conversation, r Replay) *Result {
	p := newPlayer(all, r)
	p.play(all, c, 0)
	return p.finish()
}
