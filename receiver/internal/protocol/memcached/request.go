// SPDX-License-Identifier: Apache-2.0

package memcached

import (
	"bytes"
	"hash/maphash"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

// maxMarks is how many words sanitized text shows as `?`; the others are dots.
const maxMarks = 32

var marks = strings.Repeat(" ?", maxMarks)

// readRequests reads the commands that are there.
func (p *parser) readRequests() {
	t := &p.req
	for p.err == nil {
		b := t.Available()
		if len(b) == 0 {
			if t.HoleAhead() {
				p.loseRequests()
			}
			return
		}
		used := 0
		if b[0] == magicRequest {
			used = p.readBinary(b)
		} else {
			used = p.readLine(b)
		}
		switch {
		case used < 0:
			p.invalid(inRequests)
			return
		case used == 0:
			if t.HoleAhead() {
				p.loseRequests()
			} else if len(b) > maxLine {
				p.invalid(inRequests)
			}
			return
		}
		p.misses, p.failures = 0, 0
	}
}

// readLine reads a text command and returns its length, 0 if it is incomplete, -1 if it
// is none.
func (p *parser) readLine(b []byte) int {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		if !mayBegin(b) {
			return -1
		}
		return 0
	}
	l := &p.line
	if !l.parse(b[:end]) {
		return -1
	}
	o := p.req.Begin(p.pairing.Role())
	sl := p.pairing.Acquire(&o)
	d, more := &sl.D, &sl.More
	d.Operation = l.command.name
	more.command, more.keys, more.quiet = l.command, l.keys, l.quiet
	if l.opaque != nil {
		more.tag, more.opaque = maphash.Bytes(seed, l.opaque), true
	}
	if l.key != nil {
		more.key = maphash.Bytes(seed, l.key)
	}
	switch p.settings.QueryText {
	case dbconv.TextSanitized:
		d.Text = appendMarks(append(d.Text, l.command.name...), l.words)
	case dbconv.TextRaw:
		text := bytes.TrimSuffix(b[:end], []byte("\r"))
		d.Cut = len(text) > dbconv.MaxText
		d.Text = append(d.Text, text[:min(len(text), dbconv.MaxText)]...)
	}
	used := end + 1
	if l.data >= 0 {
		used += l.data + 2
	}
	more.size = uint64(used)
	p.req.Discard(uint64(used))
	p.push(sl, &o, l.silent || l.command.shape == quitting)
	return used
}

// readBinary reads a binary request, in the same way.
func (p *parser) readBinary(b []byte) int {
	if len(b) < headerSize {
		return 0
	}
	h, ok := parseHeader(b, true)
	if !ok {
		return -1
	}
	key := headerSize + int(h.extras)
	if len(b) < key+h.key {
		if !p.req.HoleAhead() {
			return 0
		}
		h.key = max(len(b)-key, 0)
	}
	o := p.req.Begin(p.pairing.Role())
	sl := p.pairing.Acquire(&o)
	c := binary[h.opcode]
	d, more := &sl.D, &sl.More
	d.Operation = c.name
	more.command, more.binary, more.opcode, more.quiet, more.keys = c, true, h.opcode, c.quiet, 1
	more.tag, more.opaque = uint64(h.opaque), h.opaque != 0
	if h.key > 0 {
		more.key = maphash.Bytes(seed, b[key:key+h.key])
	}
	switch p.settings.QueryText {
	case dbconv.TextSanitized:
		n := 0
		if h.key > 0 {
			n = 1
		}
		d.Text = appendMarks(append(d.Text, c.name...), n)
	case dbconv.TextRaw:
		d.Text = append(d.Text, c.name...)
		if h.key > 0 && h.opcode < 0x20 {
			d.Text = append(append(d.Text, ' '), b[key:key+h.key]...)
		}
	}
	used := headerSize + int(h.body)
	more.size = uint64(used)
	p.req.Discard(uint64(used))
	p.push(sl, &o, h.opcode == opQuitQ)
	return used
}

func appendMarks(b []byte, n int) []byte {
	b = append(b, marks[:2*min(n, maxMarks)]...)
	if n > maxMarks {
		b = append(b, " ..."...)
	}
	return b
}

// push sends a command on its way that was read.
func (p *parser) push(sl *slot, o *stream.Origin, silent bool) {
	if p.answer.evidence {
		if o.Turn {
			p.completeEvidence()
		} else {
			p.forgetReplies()
		}
	}
	if silent {
		sl.D.Extra = append(sl.D.Extra, dbconv.Attribute{Key: AttrUnanswered, True: true})
		p.pairing.Report(sl, p.time)
		return
	}
	if !p.pairing.Push(sl, o, !p.answer.open && !p.answer.evidence) {
		return
	}
	if p.searching[inReplies] {
		// Nothing is outstanding, so the next bytes are those of a reply.
		p.resp.Clear()
		p.found(inReplies)
	}
	if p.pairing.Len() > 1 {
		p.scale.Reset()
	}
	if r, time, ok := p.pairing.Adopt(); ok {
		p.settle(&r, time)
	}
}
