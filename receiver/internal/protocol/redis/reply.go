// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Our own attributes.
const (
	// AttrBlocking: the command waits, so its duration is mostly waiting. True.
	AttrBlocking = "ebpf.db.blocking"
	// AttrUnanswered: the client wanted no reply, so the duration is that of sending.
	// True.
	AttrUnanswered = "ebpf.db.unanswered"
	// AttrQueued: the command was only put into a transaction. True.
	AttrQueued = "ebpf.redis.queued"
	// AttrRedirect is the node, host:port, that MOVED or ASK names.
	AttrRedirect = "ebpf.redis.redirect"
)

// reply is what is kept of one.
type reply struct {
	// kind is the first byte of its type: '_' for every null.
	kind   byte
	queued bool
	// push says what a pub/sub message is about.
	push push
	// count is the number of elements of an array; -1 if that is not known.
	count int64
	// size in bytes.
	size uint64
	// status is the prefix of an error, redirect the node it names.
	status, redirect string
}

// push is a kind of pub/sub message, by its first element.
type push uint8

const (
	noPush push = iota
	message
	confirmed
	cancelled
)

// maxStreams bounds the depth of aggregates of which the length was not known.
const maxStreams = 32

// endless is a number of elements that is not known.
const endless = 1 << 62

// answer is the reply being read.
type answer struct {
	reply
	open bool
	// left is the number of values that are still to come.
	left int64
	// chunks: in a streamed string.
	chunks bool
	// aside are values still to come that belong to attributes of the reply.
	aside int64
	// inspect: the next element says what the push is about.
	inspect bool
	// outer are the values left outside of streamed aggregates.
	outer [maxStreams]int64
	depth int

	// evidence: boundaries were lost; the reply ends where the next command shows it.
	evidence bool
	last     uint64
}

func (a *answer) reset() {
	a.reply = reply{}
	a.open, a.chunks, a.inspect, a.evidence, a.depth, a.aside = false, false, false, false, 0, 0
}

// done reports whether the reply is read to its end, or to bytes that are still to come
// and only have to pass.
func (a *answer) done() bool { return a.left == 0 && a.depth == 0 && !a.chunks }

// readReplies reads the replies that are there.
func (p *parser) readReplies() {
	t, a := &p.resp, &p.answer
	b := t.Available()
	i := 0
	for p.err == nil {
		if a.open && a.done() {
			t.Discard(uint64(i))
			if t.Ahead() > 0 {
				return
			}
			b, i = t.Available(), 0
			a.open = false
			p.replied(&a.reply)
			if p.searching[inReplies] {
				t.Clear() // it could not be the reply to anything
				return
			}
			continue
		}
		if i == len(b) {
			t.Discard(uint64(i))
			if t.HoleAhead() {
				p.loseReplies()
			}
			return
		}
		if !a.open {
			if p.replicated(b[i:]) {
				i++
				continue
			}
			a.open, a.left, a.kind, a.size = true, 1, 0, 0
			a.count, a.push, a.queued, a.status, a.redirect = -1, noPush, false, "", ""
		}
		used := p.value(b[i:])
		if used <= 0 {
			t.Discard(uint64(i))
			switch {
			case used < 0:
				p.invalid(inReplies)
			case t.HoleAhead():
				p.loseReplies()
			case len(b)-i > maxLine:
				p.invalid(inReplies)
			}
			return
		}
		a.size += uint64(used)
		if i += used; i > len(b) {
			t.Discard(uint64(i))
			b, i = t.Available(), 0
		}
	}
}

// replicated looks at the first byte of a reply, which has no meaning if a replica waits
// for its copy: then the server sends line feeds to keep the connection alive, and a bulk
// string that has no end.
func (p *parser) replicated(b []byte) bool {
	sl := p.pairing.Front()
	if sl == nil || sl.More.command != cmdPsync && sl.More.command != cmdSync {
		return false
	}
	if b[0] == '$' {
		p.pairing.Finish(p.time)
		p.err = protocol.ErrOpaque
		return true
	}
	return b[0] == '\n'
}

// value reads one value, or the head of an aggregate, and returns its length (which may
// be more than b), 0 if more is needed, -1 if it is none.
func (p *parser) value(b []byte) int {
	a := &p.answer
	c := b[0]
	if a.chunks != (c == ';') {
		return -1
	}
	switch c {
	case '+', '-', ':', ',', '#', '(', '_':
		n := line(b)
		if n > 0 {
			p.element(c, b[1:n-2])
		}
		return n
	case '$', '=', '!', ';':
		n, used := header(b)
		if used <= 0 {
			return used
		}
		return p.text(c, n, b[used:], used)
	case '*', '~', '>', '%', '|':
		n, used := header(b)
		switch {
		case used <= 0:
			return used
		case n > maxArray:
			return -1
		case n == -1:
			p.element('_', nil)
			return used
		}
		return p.aggregate(c, n, used)
	case '.':
		n := line(b)
		if n > 0 && (n != 3 || a.depth == 0 || a.left < endless/2) {
			return -1
		}
		if n > 0 {
			a.depth--
			a.left = a.outer[a.depth]
		}
		return n
	}
	return -1
}

// text takes a string of n bytes, of which content is there, behind a line of used bytes.
func (p *parser) text(c byte, n int64, content []byte, used int) int {
	a := &p.answer
	switch {
	case n > maxBulk || c == ';' && n < 0:
		return -1
	case c == ';':
		if n == 0 {
			a.chunks = false
			return used
		}
		return used + int(n) + 2
	case n == -1:
		p.element('_', nil)
		return used
	case n == streamed:
		p.element(c, nil)
		a.chunks = true
		return used
	}
	if want := int(min(n, maxOption)); (a.inspect || c == '!') && len(content) < want && !p.resp.HoleAhead() {
		return 0
	}
	if int64(len(content)) > n {
		if content[n] != '\r' {
			return -1
		}
		content = content[:n]
	}
	p.element(c, content)
	return used + int(n) + 2
}

// element takes a value that is no aggregate.
func (p *parser) element(c byte, content []byte) {
	a := &p.answer
	if a.aside > 0 {
		a.aside--
		return
	}
	a.left--
	if a.inspect {
		a.inspect = false
		a.push = pushOf(content)
	}
	if a.kind != 0 {
		return
	}
	a.kind = c
	switch c {
	case '-', '!':
		p.failed(content)
	case '+':
		a.queued = string(content) == "QUEUED"
	}
}

// aggregate takes the head of an aggregate of n, of used bytes.
func (p *parser) aggregate(c byte, n int64, used int) int {
	a := &p.answer
	elements := n
	if c == '%' || c == '|' {
		elements = 2 * n
	}
	switch {
	case a.aside > maxArray || a.left > 2*endless-8*maxArray, n == streamed && (c == '|' || a.aside > 0 || a.depth == maxStreams):
		return -1
	case c == '|' && (a.kind == 0 || a.aside > 0):
		// Attributes come before the value they belong to.
		a.aside += elements
		return used
	case c == '|':
		a.left += elements
		return used
	case a.aside > 0:
		a.aside += elements - 1
		return used
	}
	a.inspect = false
	if a.kind == 0 {
		a.kind, a.count = c, max(n, -1)
		a.inspect = n > 1 && (c == '>' || c == '*' && p.subscriber())
	}
	a.left--
	if n == streamed {
		a.outer[a.depth] = a.left
		a.depth++
		a.left = endless
		return used
	}
	a.left += elements
	return used
}

// subscriber reports whether an array may be a message of RESP2: nothing else is
// outstanding than what subscribers may send.
func (p *parser) subscriber() bool {
	sl := p.pairing.Front()
	if sl == nil {
		return true
	}
	c := sl.More.command
	return c != nil && c.traits&(subscribe|unsubscribe|listening) != 0
}

func pushOf(b []byte) push {
	switch string(b) {
	case "message", "pmessage", "smessage":
		return message
	case "subscribe", "psubscribe", "ssubscribe":
		return confirmed
	case "unsubscribe", "punsubscribe", "sunsubscribe":
		return cancelled
	}
	return noPush
}

// failed takes the text of an error. Its first word is the code, if it is in capitals.
func (p *parser) failed(b []byte) {
	a := &p.answer
	b = b[:min(len(b), 256)]
	word, rest, _ := bytes.Cut(b, []byte(" "))
	if len(word) == 0 || len(word) > 32 {
		return
	}
	for _, c := range word {
		if c-'A' >= 26 && c-'0' >= 10 && c != '_' {
			return
		}
	}
	a.status = p.host.Strings.String(word)
	if a.status == "MOVED" || a.status == "ASK" {
		// MOVED 3999 127.0.0.1:6381
		if _, node, ok := bytes.Cut(rest, []byte(" ")); ok {
			node, _, _ = bytes.Cut(node, []byte(" "))
			a.redirect = p.host.Strings.String(node)
		}
	}
}

// replied acts on a reply that is complete.
func (p *parser) replied(r *reply) {
	sl := p.pairing.Front()
	switch {
	case r.kind == '>' || r.push != noPush:
		p.pushed(r)
	case sl == nil:
		p.pairing.Orphan(*r, p.time)
	default:
		p.settle(sl, r, p.time)
	}
}

// pushed acts on a message that nobody asked for, or that confirms a subscription.
func (p *parser) pushed(r *reply) {
	sl := p.pairing.Front()
	if sl == nil || sl.More.command == nil || r.push == noPush || r.push == message {
		return
	}
	t := sl.More.command.traits
	if r.push == confirmed && t&subscribe == 0 || r.push == cancelled && t&unsubscribe == 0 {
		return
	}
	if sl.More.confirmations--; sl.More.confirmations <= 0 {
		p.pairing.Finish(p.time)
	}
}

// settle ends the oldest exchange with its reply, which was complete at time.
func (p *parser) settle(sl *slot, r *reply, time uint64) {
	d, c := &sl.D, sl.More.command
	kind := kindOf(r.kind)
	if c != nil && c.replies != anyKind && !r.queued && kind&(c.replies|failure) == 0 {
		p.pairing.Mispaired()
		p.searching[inReplies], p.lost[inReplies] = true, true
		return
	}
	switch {
	case kind == failure:
		d.Failed, d.Status = true, r.status
		if r.redirect != "" {
			d.Extra = append(d.Extra, dbconv.Attribute{Key: AttrRedirect, Text: r.redirect})
		}
	case r.queued:
		d.Extra = append(d.Extra, dbconv.Attribute{Key: AttrQueued, True: true})
		p.queued++
	}
	if c != nil && c.traits&changes != 0 {
		p.changed(sl, r, kind)
	}
	p.failures = 0
	p.scale.Weigh(max(r.size, sl.More.size), p.pairing.Len())
	p.pairing.Finish(time)
}

// changed is for commands that change the state of the connection.
func (p *parser) changed(sl *slot, r *reply, kind kinds) {
	switch sl.More.command {
	case cmdSelect:
		if kind == failure {
			p.revert(sl.More.before)
		} else if r.queued {
			p.revert("")
		}
	case cmdMulti:
		p.queued = 0
	case cmdExec, cmdDiscard:
		sl.D.Batch = p.queued
		if r.count > 0 {
			sl.D.Batch = r.count
		}
		if sl.More.command == cmdDiscard {
			sl.D.Batch = 0
		}
		p.queued = 0
	case cmdReset:
		if kind != failure {
			p.queued = 0
			p.revert("0")
		}
	case cmdMonitor, cmdSync, cmdPsync:
		if kind != failure && !r.queued {
			p.err = protocol.ErrOpaque
		}
	}
}

// revert is when a SELECT, the oldest command in flight, has not had the effect it was
// taken to have: the commands behind it use another database.
func (p *parser) revert(database string) {
	for i := 1; i < p.pairing.Len(); i++ {
		sl := p.pairing.At(i)
		sl.D.Namespace = database
		if sl.More.command == cmdSelect {
			sl.More.before = database
			return
		}
	}
	p.database = database
}
