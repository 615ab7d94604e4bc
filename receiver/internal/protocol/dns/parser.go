// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"hash/maphash"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// lengthSize is that of the length before each message on TCP (RFC 1035
	// section 4.2.2).
	lengthSize = 2
	// maxCaptured is how much of a message is asked for: what EDNS clients accept.
	maxCaptured = 4096
	// maxPending bounds the queries of one socket that wait for their responses.
	maxPending = 4096
	maxFree    = 64
	// unanswered is how long that is, ns.
	unanswered = 5e9
	// maxInvalid messages in a row are too many.
	maxInvalid = 8
)

// key of a query in flight.
type key struct {
	id       uint16
	dir      protocol.Direction // it travels in
	question uint64             // hash of name, type and class
}

type slot struct {
	x exchange.Exchange
	d detail
}

type parser struct {
	host    protocol.Host
	kernel  bool
	udp     bool
	pending map[key]*slot
	// answered is Options.Answered.
	answered func(*exchange.Exchange, *Answer)
	free     []*slot
	message  message
	streams  [2]stream.Stream
	last     protocol.Direction
	seen     bool
	invalid  int
	// unsure: what of a direction was seen last was not understood.
	unsure [2]bool
}

var _ protocol.Ticker = (*parser)(nil)

// Window implements protocol.Parser.
func (p *parser) Window() protocol.Window {
	return protocol.Window{Sent: maxCaptured, Received: maxCaptured, After: maxCaptured}
}

// Segment implements protocol.Parser.
func (p *parser) Segment(s *protocol.Segment) error {
	turn := !p.seen || s.Dir != p.last
	p.last, p.seen = s.Dir, true
	if p.udp {
		p.take(s.Data, len(s.Data) == s.Len, s, exchange.Identity{}, 0)
	} else {
		p.read(s, turn)
	}
	if p.invalid >= maxInvalid {
		p.abandon()
		return protocol.ErrMismatch
	}
	return nil
}

// read takes the messages out of a TCP stream.
func (p *parser) read(s *protocol.Segment, turn bool) {
	t := &p.streams[s.Dir]
	t.Feed(s, turn)
	for {
		head, status := t.Peek(lengthSize)
		if status == stream.More {
			break
		}
		if status == stream.Hole {
			p.host.Stats.Resyncs++
			p.missed(s.Dir)
			t.Clear()
			break
		}
		n := int(head[0])<<8 | int(head[1])
		b, status := t.Peek(lengthSize + n)
		if status == stream.More {
			break
		}
		whole := status == stream.Ready
		if !whole {
			if b = t.Available(); len(b) < lengthSize+headerSize {
				p.missed(s.Dir)
			}
		}
		role := exchange.RoleServer
		if s.Dir == protocol.Sent {
			role = exchange.RoleClient
		}
		var origin stream.Origin
		if len(b) >= lengthSize+headerSize && b[lengthSize+2]&0x80 == 0 {
			origin = t.Begin(role)
		}
		p.take(b[lengthSize:], whole, s, origin.Identity, origin.First)
		t.Discard(uint64(lengthSize + n))
	}
	t.Keep()
}

// missed takes back the questions that bytes of a direction, which were not seen or not
// understood, may have answered.
func (p *parser) missed(dir protocol.Direction) {
	p.unsure[dir] = true
	for k, sl := range p.pending {
		if k.dir != dir {
			p.withdraw(k, sl)
		}
	}
}

// take handles a message. On TCP its beginning came at first.
func (p *parser) take(b []byte, whole bool, s *protocol.Segment, id exchange.Identity, first uint64) {
	m := &p.message
	if len(b) == 0 {
		return
	}
	if !m.parse(b) || !m.asked && !m.response() {
		p.host.Stats.Invalid++
		p.invalid++
		if !p.udp {
			p.missed(s.Dir)
		}
		return
	}
	p.invalid = 0
	p.unsure[s.Dir] = false
	if m.response() {
		p.answer(m, s)
		return
	}
	if whole && !m.whole {
		// Something behind it: no query that we know.
		p.host.Stats.Invalid++
		return
	}
	if first == 0 {
		first = s.First
		role := exchange.RoleServer
		if s.Dir == protocol.Sent {
			role = exchange.RoleClient
		}
		id = protocol.Identify(s.Identity, role, nil, 0, s.Time)
	}
	p.ask(m, s, id, first)
}

// seed of the questions' hashes: of the process, so that nobody can aim at collisions.
var seed = maphash.MakeSeed()

func keyOf(m *message, dir protocol.Direction) key {
	k := key{id: m.id, dir: dir}
	if m.asked {
		k.question = maphash.Bytes(seed, m.name) ^ uint64(m.kind)<<16 ^ uint64(m.class)
	}
	return k
}

// ask begins an exchange.
func (p *parser) ask(m *message, s *protocol.Segment, id exchange.Identity, first uint64) {
	k := keyOf(m, s.Dir)
	if earlier := p.pending[k]; earlier != nil {
		if s.Dir == protocol.Received {
			return // its answer may still come
		}
		p.unanswered(k, earlier, first)
	}
	if len(p.pending) >= maxPending {
		p.host.Stats.Unmatched++
		return
	}
	sl := p.acquire()
	x, d := &sl.x, &sl.d
	x.PID, x.TID = s.PID, s.TID
	x.Role = exchange.RoleServer
	if s.Dir == protocol.Sent {
		x.Role = exchange.RoleClient
	}
	x.Start, x.End, x.Failure = first, 0, exchange.FailureNone
	x.Identity = id
	x.Measured = exchange.Unmeasured
	x.Measured.QueueTime = s.Measured.QueueTime
	d.question = p.host.Strings.String(m.name)
	d.kind, d.opcode = m.kind, m.opcode()
	d.answered, d.code, d.truncated = false, 0, false
	d.answers = d.answers[:0]
	p.pending[k] = sl
	p.host.Sink.Begin(x)
}

// answer ends one.
func (p *parser) answer(m *message, s *protocol.Segment) {
	k := keyOf(m, s.Dir.Other())
	sl := p.pending[k]
	if sl == nil && !m.asked {
		// An error may leave the question out.
		for candidate, waiting := range p.pending {
			if candidate.id == k.id && candidate.dir == k.dir {
				k, sl = candidate, waiting
				break
			}
		}
	}
	if sl == nil {
		p.host.Stats.Unmatched++
		return
	}
	x, d := &sl.x, &sl.d
	d.answered, d.code = true, m.code()
	d.truncated = m.flags&flagTruncated != 0
	d.answers = append(d.answers, m.answers...)
	x.End = s.Time
	queueTime := x.Measured.QueueTime
	x.Measured = s.Measured
	x.Measured.QueueTime = queueTime
	if p.answered != nil && x.Role == exchange.RoleClient && m.code() == 0 && len(m.resolved) > 0 {
		p.answered(x, &Answer{Name: d.question, Addresses: m.resolved, TTL: m.ttl})
	}
	p.end(k, sl)
}

func (p *parser) unanswered(k key, sl *slot, at uint64) {
	sl.x.End = min(at, sl.x.Start+unanswered)
	sl.x.Failure = exchange.FailureTimeout
	p.end(k, sl)
}

func (p *parser) end(k key, sl *slot) {
	delete(p.pending, k)
	p.host.Sink.End(&sl.x)
	p.recycle(sl)
}

// Tick implements protocol.Ticker.
func (p *parser) Tick(now uint64) {
	for k, sl := range p.pending {
		if now > sl.x.Start && now-sl.x.Start > unanswered {
			p.unanswered(k, sl, now)
		}
	}
}

// End implements protocol.Parser.
func (p *parser) End(protocol.End) {}

// Close implements protocol.Parser.
func (p *parser) Close(time uint64, cause exchange.Failure) {
	if cause == exchange.FailureNone {
		p.abandon()
		return
	}
	for k, sl := range p.pending {
		if p.unsure[k.dir.Other()] {
			p.withdraw(k, sl)
			continue
		}
		sl.x.End, sl.x.Failure = max(time, sl.x.Start), cause
		p.end(k, sl)
	}
}

func (p *parser) abandon() {
	for k, sl := range p.pending {
		p.withdraw(k, sl)
	}
}

func (p *parser) withdraw(k key, sl *slot) {
	delete(p.pending, k)
	p.host.Stats.Unmatched++
	p.host.Sink.Abandon(&sl.x)
	p.recycle(sl)
}

func (p *parser) acquire() *slot {
	if n := len(p.free); n > 0 {
		sl := p.free[n-1]
		p.free = p.free[:n-1]
		return sl
	}
	sl := &slot{}
	sl.x.Connection, sl.x.Detail = p.host.Connection, &sl.d
	sl.d.kernel, sl.d.strings = p.kernel, p.host.Strings
	return sl
}

func (p *parser) recycle(sl *slot) {
	sl.x.InFlight, sl.x.Workload = nil, nil
	if len(p.free) < maxFree {
		p.free = append(p.free, sl)
	}
}
