// SPDX-License-Identifier: Apache-2.0

package memcached

import (
	"bytes"
	"hash/maphash"
	"strconv"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// outcome is what a reply says.
type outcome uint8

const (
	fine outcome = iota
	// condition: what was asked for was not done, for a reason that is no error.
	condition
	failed
	// found, missed: of retrievals.
	found
	missed
	// values, statistic: more lines follow, until end.
	values
	statistic
	end
	noop
)

// answers are the first words of text replies. The shapes of commands that they answer
// are a set of bits; 0 stands for any.
var answers = map[string]struct {
	outcome outcome
	shapes  uint16
}{
	"STORED": {fine, 1 << storage}, "NOT_STORED": {condition, 1 << storage}, "EXISTS": {condition, 1 << storage},
	"NOT_FOUND": {condition, 1<<storage | 1<<other}, "DELETED": {fine, 1 << other}, "TOUCHED": {fine, 1 << other},
	"OK": {fine, 1<<other | 1<<statistics | 1<<watching}, "RESET": {fine, 1 << statistics}, "VERSION": {fine, 1 << other},
	"BUSY": {condition, 0}, "BADCLASS": {condition, 0}, "NOSPARE": {condition, 0}, "NOTFULL": {condition, 0}, "UNSAFE": {condition, 0}, "SAME": {condition, 0},
	"ERROR": {failed, 0}, "CLIENT_ERROR": {failed, 0}, "SERVER_ERROR": {failed, 0},
	"VALUE": {values, 1<<retrieval | 1<<touching}, "STAT": {statistic, 1 << statistics}, "END": {end, 1<<retrieval | 1<<touching | 1<<statistics},
	"HD": {found, 1<<meta | 1<<metaStore}, "VA": {found, 1 << meta}, "EN": {missed, 1<<meta | 1<<statistics}, "NF": {condition, 1<<meta | 1<<metaStore},
	"NS": {condition, 1<<meta | 1<<metaStore}, "EX": {condition, 1<<meta | 1<<metaStore}, "MN": {noop, 1 << metaNoop},
	"ME": {fine, 1 << statistics},
}

// reply is what is kept of one.
type reply struct {
	binary  bool
	opcode  byte
	outcome outcome
	shapes  uint16
	status  string
	// hits are keys that were found.
	hits int
	size uint64
	// tag and key are as those of a request.
	opaque   bool
	tag, key uint64
}

// answer is the reply being read.
type answer struct {
	reply
	open, done bool
	// evidence: boundaries were lost; the reply ends where the next command shows it.
	evidence bool
	last     uint64
}

// readReplies reads the replies that are there.
func (p *parser) readReplies() {
	t, a := &p.resp, &p.answer
	for p.err == nil {
		if a.done {
			if t.Ahead() > 0 {
				return // the value has to pass first
			}
			r := a.reply
			*a = answer{}
			p.replied(&r)
			if p.searching[inReplies] {
				t.Clear()
				return
			}
		}
		b := t.Available()
		if len(b) == 0 {
			if t.HoleAhead() {
				p.loseReplies()
			}
			return
		}
		used := 0
		if b[0] == magicReply && (!a.open || a.binary) {
			used = p.binaryReply(b)
		} else if !a.binary {
			used = p.textReply(b)
		} else {
			used = -1
		}
		switch {
		case used < 0:
			p.invalid(inReplies)
			return
		case used == 0:
			if t.HoleAhead() {
				p.loseReplies()
			} else if len(b) > maxLine {
				p.invalid(inReplies)
			}
			return
		}
		a.open = true
		a.size += uint64(used)
		t.Discard(uint64(used))
	}
}

// textReply reads a line of a reply, with the value behind it, and returns its length, 0
// if it is incomplete, -1 if it is none.
func (p *parser) textReply(b []byte) int {
	a := &p.answer
	n := bytes.IndexByte(b, '\n')
	if n < 0 {
		if len(b) >= 16 && !isReply(b) {
			return -1
		}
		return 0
	}
	text := bytes.TrimSuffix(b[:n], []byte("\r"))
	word, rest, _ := bytes.Cut(text, []byte(" "))
	w, ok := answers[string(word)]
	used := n + 1
	if !ok {
		if !digits(bytes.TrimRight(word, " ")) || a.open {
			return -1
		}
		a.outcome, a.shapes, a.done = fine, 1<<other, true
		return used
	}
	if a.open && (w.outcome == values) != (a.outcome == values) && w.outcome != end && w.outcome != failed {
		return -1
	}
	switch w.outcome {
	case values: // VALUE key flags bytes [cas]
		_, rest, _ = bytes.Cut(rest, []byte(" "))
		_, rest, _ = bytes.Cut(rest, []byte(" "))
		size, _, _ := bytes.Cut(rest, []byte(" "))
		length := number(size, false)
		if length < 0 {
			return -1
		}
		a.hits++
		a.outcome, a.shapes = values, w.shapes
		return used + length + 2
	case statistic:
		a.outcome, a.shapes = statistic, w.shapes
		return used
	case end:
		a.outcome, a.done = end, true
		if a.hits > 0 {
			a.shapes = 1<<retrieval | 1<<touching
		} else if a.shapes == 0 {
			a.shapes = w.shapes
		}
		return used
	}
	a.outcome, a.shapes, a.done = w.outcome, w.shapes, true
	switch w.outcome {
	case condition, failed:
		a.status = p.host.Strings.String(word)
	case found:
		a.hits = 1
	}
	if len(word) == 2 {
		return p.metaReply(string(word) == "VA", rest, used)
	}
	return used
}

// metaReply reads what is behind the code of a meta command's reply.
func (p *parser) metaReply(value bool, rest []byte, used int) int {
	a := &p.answer
	if value {
		var size []byte
		size, rest, _ = bytes.Cut(rest, []byte(" "))
		n := number(size, false)
		if n < 0 {
			return -1
		}
		used += n + 2
	}
	for len(rest) > 0 {
		var flag []byte
		flag, rest, _ = bytes.Cut(rest, []byte(" "))
		if len(flag) < 2 {
			continue
		}
		switch flag[0] {
		case 'O':
			a.tag, a.opaque = maphash.Bytes(seed, flag[1:]), true
		case 'k':
			a.key = maphash.Bytes(seed, flag[1:])
		}
	}
	return used
}

// binaryReply reads a binary reply, in the same way.
func (p *parser) binaryReply(b []byte) int {
	if len(b) < headerSize {
		return 0
	}
	h, ok := parseHeader(b, false)
	if !ok {
		return -1
	}
	a := &p.answer
	a.binary, a.opcode = true, h.opcode
	a.tag, a.opaque = uint64(h.opaque), h.opaque != 0
	at := headerSize + int(h.extras)
	if h.key > 0 && h.status == 0 {
		if len(b) < at+h.key && !p.resp.HoleAhead() {
			return 0
		}
		if len(b) >= at+h.key {
			a.key = maphash.Bytes(seed, b[at:at+h.key])
		}
	}
	a.done = h.opcode != opStat || h.key == 0 || h.status != 0
	switch h.status {
	case 0:
		a.outcome = fine
		if binary[h.opcode].gets {
			a.outcome, a.hits = found, 1
		}
	case 1, 2, 5: // not found, exists, not stored
		a.outcome = condition
		if h.status == 1 && binary[h.opcode].gets {
			a.outcome = missed
		}
	default:
		a.outcome = failed
		if h.status == 0x21 { // authentication goes on
			a.outcome = fine
		}
	}
	if h.status != 0 {
		var digits [5]byte
		a.status = p.host.Strings.String(strconv.AppendUint(digits[:0], uint64(h.status), 10))
	}
	return headerSize + int(h.body)
}

// replied acts on a reply that is complete.
func (p *parser) replied(r *reply) {
	if p.pairing.Len() == 0 {
		p.pairing.Orphan(*r, p.time)
		return
	}
	p.settle(r, p.time)
}

// settle ends the exchange that a reply is for, which was complete at time, and those of
// quiet commands before it, of which there is no news.
func (p *parser) settle(r *reply, time uint64) {
	n := p.answered(r)
	if n < 0 {
		p.answer = answer{}
		p.pairing.Mispaired()
		p.searching[inReplies], p.lost[inReplies] = true, true
		return
	}
	for range n {
		sl := p.pairing.Front()
		if c := sl.More.command; c.gets || c.shape == meta && c.name == "mg" {
			p.count(sl, 0)
		}
		p.pairing.Finish(time)
	}
	sl := p.pairing.Front()
	d := &sl.D
	d.Status, d.Failed = r.status, r.outcome == failed
	if !d.Failed {
		switch c := sl.More.command; {
		case c.shape == retrieval, c.shape == touching, c.gets, c.name == "mg":
			p.count(sl, r.hits)
		}
	}
	if r.outcome == missed {
		d.Status = ""
	}
	p.failures = 0
	p.scale.Weigh(max(r.size, sl.More.size), p.pairing.Len())
	watch := sl.More.command.shape == watching && r.outcome == fine
	p.pairing.Finish(time)
	if watch {
		p.err = protocol.ErrOpaque
	}
}

// count adds how many of a retrieval's keys were found.
func (p *parser) count(sl *slot, hits int) {
	sl.D.Extra = append(sl.D.Extra, dbconv.Attribute{Key: AttrHits, Int: int64(hits)},
		dbconv.Attribute{Key: AttrMisses, Int: int64(max(sl.More.keys-hits, 0))})
}

// answered is how many quiet commands are before the one that a reply is for; -1 if there
// is none, or that cannot be told.
func (p *parser) answered(r *reply) int {
	candidate, candidates := -1, 0
	for i := range p.pairing.Len() {
		m := &p.pairing.At(i).More
		if m.matches(r) {
			if r.opaque || m.quiet && r.key != 0 && r.key == m.key {
				return i // certainly
			}
			if candidates++; candidate < 0 {
				candidate = i
			}
		}
		if !m.quiet {
			break
		}
	}
	if candidates != 1 {
		return -1
	}
	return candidate
}

// matches reports whether a reply can be for a command.
func (m *extra) matches(r *reply) bool {
	if m.binary != r.binary {
		// A server that does not know the binary protocol, or not this command, answers
		// in text.
		return false
	}
	if m.opaque != r.opaque && (r.opaque || r.outcome != failed) || r.opaque && m.tag != r.tag {
		return false
	}
	if r.key != 0 && m.key != 0 && r.key != m.key && m.command.shape != statistics {
		return false
	}
	if m.binary {
		if m.opcode != r.opcode {
			return false
		}
	} else if r.shapes != 0 && r.shapes&(1<<m.command.shape) == 0 {
		return false
	}
	if !m.quiet || r.outcome == failed {
		return true
	}
	// What a quiet command is silent about is not its answer; versions differ in NF.
	if m.binary {
		return m.command.gets == (r.outcome == found)
	}
	switch m.command.name {
	case "mg":
		return r.outcome == found
	case "ma":
		return true
	}
	return r.outcome == condition
}
