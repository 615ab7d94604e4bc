// SPDX-License-Identifier: Apache-2.0

package amqp

import (
	"encoding/binary"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/broker"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// maxFrame is the largest frame taken for one, in bytes; RabbitMQ's default
	// frame_max is 128 KiB.
	maxFrame = 64 << 20
	// maxPayload is the longest method or content header that is looked at.
	maxPayload = 64 << 10
	// maxChannels, maxConsumers and maxGot bound what is kept per connection, per channel
	// and per channel.
	maxChannels  = 2048
	maxConsumers = 256
	maxGot       = 256
	// maxFailures is how many frames in a row that are none make a mismatch.
	maxFailures = 8
	// settled is a silence after which nothing is taken to be unconfirmed, ns.
	settled = 1e9
)

// confirms is what is known of publisher confirms on a channel.
type confirms uint8

const (
	// confirmsUnknown: the channel is older than we are.
	confirmsUnknown confirms = iota
	confirmsOff
	confirmsOn
	// confirmsUncounted: they are on, but which publish has which number is not known.
	confirmsUncounted
)

// content is a message that is being read: behind its method come a header and bodies.
type content struct {
	slot broker.Ref // none if it is of no interest
	kind method     // basic.publish, return, deliver or get-ok; 0 if there is none
	// header: the header was read; left is what is missing of the body.
	header bool
	left   uint64
	size   uint64
	// frame is the size of the content's first body, where others follow it: that of
	// all but the last.
	frame uint64
	// code of a return.
	code uint16
}

type consumer struct {
	queue string
	// noAck: deliveries are not acknowledged.
	noAck bool
}

// got is a message that basic.get brought and that is to be acknowledged.
type got struct {
	tag         uint64
	destination string
}

type channel struct {
	id                         uint16
	rpc, publishes, deliveries broker.List
	content                    [2]content
	confirms                   confirms
	// next is the number of the next publish, acked the highest that was confirmed.
	next, acked uint64
	// last is the time of the last publish or confirm.
	last      uint64
	queue     string // declared last
	consumers map[string]consumer
	got       []got
}

// framing is where a direction's stream is.
type framing struct {
	lost bool // boundaries are to be looked for
	// end: the next octet ends a frame, of content of channel.
	end     bool
	channel *channel
}

type parser struct {
	broker.Base
	err      error
	framing  [2]framing
	channels map[uint16]*channel
	last     *channel
	connect  broker.List
	failures int
	// frameMax as negotiated, 0 if not known.
	frameMax uint64
	scratch  []byte
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
func (p *parser) End(e protocol.End) { p.EndDirection(e, p.lost()) }

// Close implements protocol.Parser.
func (p *parser) Close(time uint64, cause exchange.Failure) { p.CloseAll(time, cause, p.lost()) }

// lost says in which directions frames are looked for.
func (p *parser) lost() [2]bool { return [2]bool{p.framing[0].lost, p.framing[1].lost} }

// step reads one frame, or what is left of one; false if bytes are missing.
func (p *parser) step(t *stream.Stream, dir protocol.Direction) bool {
	if t.Ahead() > 0 {
		return false
	}
	f := &p.framing[dir]
	if f.lost {
		return p.resync(t, dir, f)
	}
	if f.end {
		return p.endOfFrame(t, dir, f)
	}
	head, status := t.Peek(headSize)
	switch status {
	case stream.More:
		return false
	case stream.Hole:
		return p.hole(t, dir, f)
	}
	if head[0] == 'A' {
		if b, status := t.Peek(len(greeting)); status != stream.Ready {
			return status == stream.Hole && p.lose(dir)
		} else if string(b) == greeting && dir == p.Requests {
			s := p.Acquire(dir)
			s.D.Operation = "connect"
			t.Discard(uint64(len(greeting)))
			p.Begin(s, &p.connect)
			return true
		}
	}
	if !plausible(t.Available()) {
		p.failures++
		if p.failures > maxFailures {
			p.err = protocol.ErrMismatch
			return false
		}
		p.Host.Stats.Invalid++
		return p.lose(dir)
	}
	size := uint64(binary.BigEndian.Uint32(head[3:]))
	number := binary.BigEndian.Uint16(head[1:])
	kind := head[0]
	switch kind {
	case frameBody:
		c := p.channel(number)
		t.Discard(headSize + size)
		f.end, f.channel = true, nil
		if c != nil {
			p.body(c, dir, size, f)
		}
		return true
	case frameHeartbeat:
		t.Discard(headSize)
		f.end, f.channel = true, nil
		return true
	}
	var payload []byte
	if size <= maxPayload {
		b, status := t.Peek(int(headSize + size + 1))
		if status == stream.More {
			return false
		}
		if status == stream.Ready {
			if b[headSize+size] != frameEnd {
				p.Host.Stats.Invalid++
				return p.lose(dir)
			}
			payload = b[headSize : headSize+size]
		}
	}
	p.failures = 0
	if kind == frameHeader {
		if payload == nil {
			// The size of the body is enough.
			if b, status := t.Peek(headSize + 14); status == stream.Ready {
				payload = b[headSize : headSize+12]
			}
		}
		c := p.channel(number)
		if payload == nil {
			p.blind(dir)
		} else if c != nil {
			p.header(c, dir, payload)
		}
		t.Discard(headSize + size + 1)
		if c != nil && payload != nil {
			p.complete(c, dir)
		}
		return true
	}
	if payload == nil {
		p.blind(dir)
	} else {
		p.method(number, dir, payload)
	}
	t.Discard(headSize + size + 1)
	return true
}

// endOfFrame reads the octet behind a frame whose payload was passed over.
func (p *parser) endOfFrame(t *stream.Stream, dir protocol.Direction, f *framing) bool {
	b, status := t.Peek(1)
	switch {
	case status == stream.More:
		return false
	case status == stream.Ready && b[0] != frameEnd:
		f.end = false
		p.Host.Stats.Invalid++
		return p.lose(dir)
	}
	t.Discard(1)
	f.end = false
	p.failures = 0
	if f.channel != nil {
		p.complete(f.channel, dir)
		f.channel = nil
	}
	return true
}

// hole passes over frames that were not copied, where their lengths are certain: clients
// and brokers cut a body into frames of one size, of which only the last is shorter. What
// stands behind them shows whether that was right.
func (p *parser) hole(t *stream.Stream, dir protocol.Direction, f *framing) bool {
	var reading *channel
	for _, c := range p.channels {
		if k := &c.content[dir]; k.kind != 0 && k.header && k.left > 0 {
			if reading != nil {
				return p.lose(dir)
			}
			reading = c
		}
	}
	if reading == nil {
		return p.lose(dir)
	}
	c := &reading.content[dir]
	frame := c.frame
	if frame == 0 {
		frame = max(p.frameMax, headSize+1) - headSize - 1
	}
	if frame == 0 {
		return p.lose(dir)
	}
	frames := (c.left + frame - 1) / frame
	t.Discard(c.left + frames*(headSize+1) - 1)
	c.left = 0
	f.end, f.channel = true, reading
	return true
}

// lose forgets where frames begin. It returns true: there may be more to read.
func (p *parser) lose(dir protocol.Direction) bool {
	p.framing[dir] = framing{lost: true}
	p.Host.Stats.Resyncs++
	p.blind(dir)
	return true
}

// blind forgets what a frame that was not seen may have changed.
func (p *parser) blind(dir protocol.Direction) {
	p.Unseen(dir)
	for _, c := range p.channels {
		for i := range c.content {
			if k := &c.content[i]; k.kind != 0 && (protocol.Direction(i) == dir) {
				p.drop(k)
			}
		}
		if dir == p.Requests && c.confirms == confirmsOn {
			c.confirms = confirmsUncounted
		}
		c.got = c.got[:0]
	}
}

// drop forgets a content that is being read.
func (p *parser) drop(k *content) {
	if s := k.slot.Get(); s != nil && !p.Waits(s) {
		p.Release(s)
	}
	*k = content{}
}

// resync looks for a frame in what was copied.
func (p *parser) resync(t *stream.Stream, dir protocol.Direction, f *framing) bool {
	b := t.Available()
	for i := range b {
		if whole(b[i:]) && b[i] != frameBody {
			t.Discard(uint64(i))
			f.lost = false
			p.blind(dir) // what began since may have ended unseen
			return true
		}
	}
	if t.HoleAhead() {
		return t.Resync()
	}
	// A frame may begin at the very end; it is found when there is more of it.
	if len(b) > maxPayload {
		t.Discard(uint64(len(b) - maxPayload/2))
	}
	return false
}

// channel finds a channel, or makes it; nil if there are too many.
func (p *parser) channel(id uint16) *channel {
	if c := p.last; c != nil && c.id == id {
		return c
	}
	c := p.channels[id]
	if c == nil {
		if len(p.channels) >= maxChannels {
			p.Host.Stats.Unmatched++
			return nil
		}
		c = &channel{id: id}
		p.channels[id] = c
	}
	p.last = c
	return c
}
