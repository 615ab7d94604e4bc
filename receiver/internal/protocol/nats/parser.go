// SPDX-License-Identifier: Apache-2.0

package nats

import (
	"bytes"
	"hash/maphash"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/broker"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// maxSubscriptions bounds what is kept of a connection's subscriptions.
	maxSubscriptions = 4096
	// maxFailures is how many lines in a row that are none make a mismatch.
	maxFailures = 8
)

// seed is of the hashes that subjects to reply to are found by.
var seed = maphash.MakeSeed()

type subscription struct {
	subject, queue string
	// limit is how many messages are still to come, 0 if that is not limited.
	limit uint64
}

// message is what is being read in one direction: a line was, its payload was not.
type message struct {
	line
	slot broker.Ref
	// act is what its last byte does.
	act  action
	size uint64
	// inner: the payload was passed over, the line end behind it was not.
	inner bool
}

// action is what becomes of an exchange when a message is complete.
type action uint8

const (
	nothing action = iota
	// once: it is over.
	once
	// finish: the message ends it.
	finish
	// complete: it waits for its end from now on.
	complete
)

type parser struct {
	broker.Base
	err     error
	lost    [2]bool
	reading [2]message

	connect, requests, deliveries broker.List
	subscriptions                 map[string]subscription
	verbose                       bool
	// waiting are what +OK and -ERR answer in verbose mode, a ring.
	waiting      [256]broker.Ref
	first, queue int
	failures     int
	// complete: CONNECT was seen, so that all subscriptions are known. inbox is the last
	// one that a request asked for its reply at.
	complete bool
	inbox    string
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

// step reads one line with its payload, or what is left of them; false if bytes are
// missing.
func (p *parser) step(t *stream.Stream, dir protocol.Direction) bool {
	if t.Ahead() > 0 {
		return false
	}
	m := &p.reading[dir]
	if m.inner {
		return p.payloadEnd(t, dir, m)
	}
	if p.lost[dir] {
		return p.resync(t, dir)
	}
	b := t.Available()
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		switch {
		case t.HoleAhead():
			return p.lose(dir)
		case len(b) > maxLine:
			return p.invalid(dir)
		}
		return false
	}
	l := b[:end]
	if n := len(l); n > 0 && l[n-1] == '\r' {
		l = l[:n-1]
	}
	if !m.parse(l, dir == p.Requests) {
		return p.invalid(dir)
	}
	p.failures = 0
	m.size = uint64(end+1) + m.total + 2
	switch m.op {
	case opPub, opHpub, opMsg, opHmsg:
		return p.message(t, dir, m, end+1)
	}
	p.control(dir, &m.line)
	t.Discard(uint64(end + 1))
	return true
}

// message acts on a line that a payload follows.
func (p *parser) message(t *stream.Stream, dir protocol.Direction, m *message, head int) bool {
	// Headers, and the first bytes of a payload, say what it is.
	want := head + int(min(m.header, maxHeader)) + int(min(m.total-m.header, 32))
	b, status := t.Peek(want)
	if status == stream.More {
		return false
	}
	var header, payload []byte
	if status == stream.Ready {
		if m.header <= maxHeader {
			header = b[head : head+int(m.header)]
		}
		payload = b[head+int(min(m.header, maxHeader)):]
	} else if t.HoleAhead() {
		payload = nil
	}
	if dir == p.Requests {
		p.published(dir, m, header, payload)
	} else {
		p.delivered(dir, m, header, payload)
	}
	t.Discard(uint64(head) + m.total)
	m.inner = true
	p.Note(dir, m.size)
	return true
}

// payloadEnd reads the line end behind a payload.
func (p *parser) payloadEnd(t *stream.Stream, dir protocol.Direction, m *message) bool {
	b, status := t.Peek(2)
	if status == stream.More {
		return false
	}
	m.inner = false
	if status == stream.Ready && (b[0] != '\r' || b[1] != '\n') {
		p.drop(m)
		return p.invalid(dir)
	}
	t.Discard(2)
	s := m.slot.Get()
	if s == nil {
		return true
	}
	switch m.act {
	case once:
		p.Once(s)
	case finish:
		p.Finish(s)
	case complete:
		s.Complete = p.S.Time
	}
	m.slot, m.act = broker.Ref{}, nothing
	return true
}

// drop forgets a message that is being read.
func (p *parser) drop(m *message) {
	if s := m.slot.Get(); s != nil && !p.Waits(s) {
		p.Release(s)
	}
	*m = message{}
}

// invalid gives up on what should have been a line.
func (p *parser) invalid(dir protocol.Direction) bool {
	p.failures++
	if p.failures > maxFailures {
		p.err = protocol.ErrMismatch
		return false
	}
	p.Host.Stats.Invalid++
	return p.lose(dir)
}

// lose forgets where lines begin. It returns true: there may be more to read.
func (p *parser) lose(dir protocol.Direction) bool {
	p.lost[dir] = true
	p.Host.Stats.Resyncs++
	p.Unseen(dir)
	p.queue = 0
	if dir == p.Requests {
		p.complete = false // subscriptions may have been among what was not seen
	}
	p.drop(&p.reading[0])
	p.drop(&p.reading[1])
	return true
}

// resync looks for a line in what was copied.
func (p *parser) resync(t *stream.Stream, dir protocol.Direction) bool {
	b := t.Available()
	client := dir == p.Requests
	for i := 0; i < len(b); {
		end := bytes.IndexByte(b[i:], '\n')
		if end < 0 {
			break
		}
		if l := bytes.TrimSuffix(b[i:i+end], []byte("\r")); len(l) < end && begins(l, b[i+end+1:], client, i == 0) {
			t.Discard(uint64(i))
			p.lost[dir] = false
			p.Unseen(dir) // what began since may have ended unseen
			return true
		}
		i += end + 1
	}
	if t.HoleAhead() {
		return t.Resync()
	}
	t.Clear()
	return false
}

// begins reports whether l is the line of a message, of which rest is what follows. At the
// start of what was copied, less is asked for.
func begins(l, rest []byte, client, first bool) bool {
	var m line
	if !m.parse(l, client) {
		return false
	}
	switch m.op {
	case opPub, opHpub, opMsg, opHmsg:
		if _, numeric := number(m.reply); first && numeric {
			return false // HMSG or HPUB without its first letter
		}
		if uint64(len(rest)) < m.total+2 {
			return first
		}
		return rest[m.total] == '\r' && rest[m.total+1] == '\n'
	case opPing, opPong, opOK, opConnect, opSub, opUnsub:
		return first
	}
	return false
}
