// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/broker"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

// maxFailures is how many packets in a row that are none make a mismatch; maxAliases how
// many topic aliases are kept per direction.
const (
	maxFailures = 8
	maxAliases  = 1024
)

// Our own attributes: the quality of service of a message, and whether the broker kept it
// from before the subscription. Numbers.
const (
	attrQoS    = "ebpf.mqtt.qos"
	attrRetain = "ebpf.mqtt.retain"
)

const (
	orphanCall uint8 = 1 + iota
	orphanPublish
	orphanDeliver
)

type parser struct {
	broker.Base
	err  error
	lost [2]bool
	// reading is the message whose last byte is still to come, by direction.
	reading  [2]message
	failures int
	// version is the protocol's level, 4 or 5; 0 if not known.
	version byte
	// calls are CONNECT, SUBSCRIBE and UNSUBSCRIBE; their ids and those of the client's
	// messages are one space, those of the broker's another.
	calls, publishes, deliveries broker.List
	aliases                      [2]map[uint16]string
}

// message is a packet that is passed over.
type message struct {
	inner bool
	slot  broker.Ref
	once  bool
}

var _ protocol.Parser = (*parser)(nil)

// Segment implements protocol.Parser.
func (p *parser) Segment(s *protocol.Segment) error {
	if p.err != nil {
		return p.err
	}
	t := p.Feed(s)
	for p.err == nil && p.step(t, s.Dir) {
	}
	t.Keep()
	if p.err != nil {
		p.AbandonAll()
	}
	return p.err
}

// End implements protocol.Parser.
func (p *parser) End(e protocol.End) { p.EndDirection(e, p.lost) }

// Close implements protocol.Parser.
func (p *parser) Close(time uint64, cause exchange.Failure) { p.CloseAll(time, cause, p.lost) }

// step reads one packet, or what is left of one; false if bytes are missing.
func (p *parser) step(t *stream.Stream, dir protocol.Direction) bool {
	if t.Ahead() > 0 {
		return false
	}
	if m := &p.reading[dir]; m.inner {
		p.complete(m)
	}
	if p.lost[dir] {
		return p.resync(t, dir)
	}
	client := dir == p.Requests
	b := t.Available()
	kind, flags, remaining, size := fixed(b)
	switch {
	case size < 0 || len(b) > 0 && !plausibleKind(b[0], client):
		return p.invalid(dir)
	case size == 0 && t.HoleAhead():
		return p.lose(dir)
	case size == 0:
		return false
	case !plausible(b, client):
		return p.invalid(dir)
	}
	total := uint64(size) + remaining
	if kind != publish {
		b, status := t.Peek(int(min(total, maxSeen)))
		switch {
		case status == stream.More:
			return false
		case status == stream.Hole:
			// What it was about is not known.
			p.blind(dir)
		default:
			p.failures = 0
			p.packet(dir, kind, &arguments{b: b[size:]})
		}
		t.Discard(total)
		return true
	}
	// Of a message the topic and the properties have to be there, or all that can be.
	seen := b[size:min(uint64(len(b)), total)]
	need := uint64(size) + p.head(seen, flags)
	if uint64(len(b)) < min(need, total) && need <= maxSeen && !t.HoleAhead() {
		return false
	}
	p.failures = 0
	p.message(dir, flags, seen, remaining)
	p.reading[dir].inner = true
	p.Note(dir, total)
	t.Discard(total)
	return true
}

// head is how long topic, id and properties are, as far as that can be said.
func (p *parser) head(b []byte, flags byte) uint64 {
	if len(b) < 2 {
		return 2
	}
	n := 2 + uint64(b[0])<<8 + uint64(b[1])
	if flags&6 != 0 {
		n += 2
	}
	if p.version != 5 {
		return n
	}
	if uint64(len(b)) <= n {
		return n + 1
	}
	length, size := varint(b[n:])
	if size <= 0 {
		return uint64(len(b)) + 1
	}
	return n + uint64(size) + length
}

func plausibleKind(b byte, client bool) bool {
	switch b >> 4 {
	case 0:
		return false
	case connect, subscribe, unsubscribe, pingreq:
		return client
	case connack, suback, unsuback, pingresp:
		return !client
	}
	return true
}

// message reads PUBLISH (section 3.3), of which b is the beginning.
func (p *parser) message(dir protocol.Direction, flags byte, b []byte, remaining uint64) {
	m := &p.reading[dir]
	m.slot, m.once = broker.Ref{}, false
	a := arguments{b: b}
	name := a.text()
	qos := flags >> 1 & 3
	var id uint16
	if qos > 0 {
		id = a.short()
	}
	var props properties
	known := p.version == 4 || p.version == 3
	if p.version == 5 && !a.bad {
		props = a.properties()
		known = props.length > 0
		if a.bad && len(name) > 0 {
			// They may have given an alias another name.
			clear(p.aliases[dir])
		}
		a.bad = false
	}
	if a.bad {
		p.Host.Stats.Invalid++
		return
	}
	client := dir == p.Requests
	l, kind := &p.deliveries, orphanDeliver
	if client {
		l, kind = &p.publishes, orphanPublish
	}
	if flags&8 != 0 && l.Find(uint64(id)) != nil {
		return // sent again, and the first one is waited for
	}
	s := p.Acquire(dir)
	d := &s.D
	d.Messages = 1
	d.Destination = p.topic(dir, name, props.alias)
	if known {
		d.Body = int64(remaining) - 2 - int64(len(name)) - int64(props.length)
		if qos > 0 {
			d.Body -= 2
		}
	}
	s.Context(props.traceparent, props.tracestate)
	d.Extra = append(d.Extra, messagingconv.Attribute{Key: attrQoS, Int: int64(qos)})
	if flags&1 != 0 {
		d.Extra = append(d.Extra, messagingconv.Attribute{Key: attrRetain, Int: 1})
	}
	if client {
		d.Operation, d.Type = "publish", messagingconv.Send
	} else {
		d.Operation, d.Type = "deliver", messagingconv.Receive
		if qos > 0 {
			d.Type = messagingconv.Process
		}
	}
	if qos == 0 {
		m.slot, m.once = s.Ref(), true
		return
	}
	s.ID = uint64(id)
	if p.Adopt(s, kind, 0, s.ID) {
		return
	}
	if old := l.Find(s.ID); old != nil {
		// Its id is used again: it was answered unseen.
		p.Host.Stats.Unmatched++
		p.Abandon(old)
	}
	m.slot = s.Ref()
	p.Begin(s, l)
}

// complete acts on a message whose last byte has moved.
func (p *parser) complete(m *message) {
	if s := m.slot.Get(); s != nil && m.once {
		p.Once(s)
	}
	*m = message{}
}

// topic resolves topic aliases (section 3.3.2.3.4), which are of one direction.
func (p *parser) topic(dir protocol.Direction, name []byte, alias uint16) string {
	topic := p.Host.Strings.String(name)
	if alias == 0 {
		return topic
	}
	if topic == "" {
		return p.aliases[dir][alias]
	}
	if p.aliases[dir] == nil {
		p.aliases[dir] = map[uint16]string{}
	}
	if _, there := p.aliases[dir][alias]; there || len(p.aliases[dir]) < maxAliases {
		p.aliases[dir][alias] = topic
	}
	return topic
}

// packet acts on a packet that is no message.
func (p *parser) packet(dir protocol.Direction, kind byte, a *arguments) {
	client := dir == p.Requests
	switch kind {
	case connect:
		p.connect(dir, a)
	case connack:
		p.connected(a)
	case subscribe, unsubscribe:
		p.call(dir, kind, a)
	case suback, unsuback:
		p.called(kind, a)
	case puback, pubcomp:
		p.settled(client, a, true)
	case pubrec:
		p.settled(client, a, false)
	case pubrel, pingreq, pingresp, auth:
	case disconnect:
		if client {
			return
		}
		if why := reason(a.octet()); why != "" && !a.bad {
			if s := p.calls.Front(); s != nil {
				s.D.Error = why
				p.Finish(s)
				return
			}
			s := p.Acquire(dir)
			s.D.Operation, s.D.Error = "disconnect", why
			p.Once(s)
		}
	}
}

// connect reads CONNECT (section 3.1).
func (p *parser) connect(dir protocol.Direction, a *arguments) {
	a.text()
	version := a.octet()
	a.octet()
	a.short()
	if version == 5 {
		a.properties()
	}
	client := a.text()
	if a.bad {
		p.Host.Stats.Invalid++
		return
	}
	p.version = version
	p.Client = p.Host.Strings.String(client)
	s := p.Acquire(dir)
	s.D.Operation = "connect"
	if p.Adopt(s, orphanCall, connack, 0) {
		return
	}
	s.Flag = true
	p.Begin(s, &p.calls)
}

// connected reads CONNACK (section 3.2).
func (p *parser) connected(a *arguments) {
	a.octet()
	code := a.octet()
	why := returnCode(code)
	if p.version == 5 {
		why = reason(code)
		if props := a.properties(); !a.bad && len(props.client) > 0 {
			p.Client = p.Host.Strings.String(props.client)
		}
	}
	s := p.calls.Front()
	if s == nil || !s.Flag {
		p.Orphaned(broker.Orphan{Kind: orphanCall, Channel: connack, Error: why})
		return
	}
	s.D.Client = p.Client
	s.D.Error = why
	p.Finish(s)
}

// call reads SUBSCRIBE and UNSUBSCRIBE (sections 3.8 and 3.10).
func (p *parser) call(dir protocol.Direction, kind byte, a *arguments) {
	id := a.short()
	if p.version == 5 {
		a.properties()
	}
	filter := a.text()
	if a.bad {
		// Of a connection that is older than we are, the version is not known.
		filter = nil
	}
	s := p.Acquire(dir)
	s.D.Operation = "subscribe"
	if kind == subscribe {
		a.octet()
	} else {
		s.D.Operation = "unsubscribe"
	}
	if len(a.b) == 0 && p.version != 0 {
		s.D.Destination = p.Host.Strings.String(filter)
	}
	s.ID = uint64(id)
	if !p.Adopt(s, orphanCall, uint16(kind)+1, s.ID) {
		p.Begin(s, &p.calls)
	}
}

// called reads SUBACK and UNSUBACK (sections 3.9 and 3.11): the first code that is an error
// is that of the call.
func (p *parser) called(kind byte, a *arguments) {
	id := a.short()
	if p.version == 5 {
		a.properties()
	}
	why := ""
	if p.version != 0 && !a.bad && (kind == suback || p.version == 5) {
		for _, code := range a.b {
			if why = reason(code); why != "" {
				break
			}
		}
	}
	for s := p.calls.Front(); s != nil; s = s.Next() {
		if s.ID == uint64(id) && !s.Flag {
			s.D.Error = why
			p.Finish(s)
			return
		}
	}
	p.Orphaned(broker.Orphan{Kind: orphanCall, Channel: uint16(kind), ID: uint64(id), Error: why})
}

// settled reads PUBACK, PUBREC and PUBCOMP (sections 3.4, 3.5 and 3.7). PUBREC only ends
// what it refuses. client says who sent it.
func (p *parser) settled(client bool, a *arguments, last bool) {
	id := a.short()
	why := ""
	if len(a.b) > 0 {
		why = reason(a.octet())
	}
	if !last && why == "" {
		return
	}
	l, kind := &p.publishes, orphanPublish
	if client {
		l, kind = &p.deliveries, orphanDeliver
	}
	s := l.Find(uint64(id))
	if s == nil {
		p.Orphaned(broker.Orphan{Kind: kind, ID: uint64(id), Error: why})
		return
	}
	s.D.Error = why
	p.Finish(s)
}

// invalid gives up on what should have been a packet.
func (p *parser) invalid(dir protocol.Direction) bool {
	p.failures++
	if p.failures > maxFailures {
		p.err = protocol.ErrMismatch
		return false
	}
	p.Host.Stats.Invalid++
	return p.lose(dir)
}

// lose forgets where packets begin. It returns true: there may be more to read.
func (p *parser) lose(dir protocol.Direction) bool {
	p.lost[dir] = true
	p.Host.Stats.Resyncs++
	p.blind(dir)
	if m := &p.reading[dir]; m.inner {
		if s := m.slot.Get(); s != nil && m.once {
			p.Release(s)
		}
		*m = message{}
	}
	return true
}

// blind forgets what packets that were not seen may have changed.
func (p *parser) blind(dir protocol.Direction) {
	p.Unseen(dir)
	clear(p.aliases[dir])
}

// resync takes up at a segment that packets fill, or at whose start one begins that is longer
// than what was copied.
func (p *parser) resync(t *stream.Stream, dir protocol.Direction) bool {
	client := dir == p.Requests
	for {
		if b := t.Available(); t.AtSegment() && chain(b, client, t.HoleAhead()) {
			p.lost[dir] = false
			p.blind(dir) // what began since may have ended unseen
			return true
		}
		if !t.HoleAhead() {
			t.Clear()
			return false
		}
		if !t.Resync() {
			return false
		}
	}
}

// chain reports whether b is nothing but packets; the last may be cut.
func chain(b []byte, client, cut bool) bool {
	n := 0
	for len(b) > 0 {
		if !plausible(b, client) {
			return false
		}
		_, _, remaining, size := fixed(b)
		if total := uint64(size) + remaining; total <= uint64(len(b)) {
			b = b[total:]
			n++
			continue
		}
		return cut && len(b) >= 64 || n > 0
	}
	return n > 0
}
