// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// maxMarks is how many arguments sanitized text shows as `?`; the others are dots.
	maxMarks = 32
	// maxArgument is the longest argument that is waited for when it is cut by the end
	// of a segment.
	maxArgument = 4 << 10
	// maxOption is the longest argument that is looked at for its meaning.
	maxOption = 64
)

// request is the command being read.
type request struct {
	slot   *slot // nil between commands
	origin stream.Origin
	// left arguments of all are still to come; named: the first was read.
	left, all int64
	named     bool
	client    bool // CLIENT REPLY: what it says is the second argument
	silent    silence
}

// silence is what CLIENT REPLY asks for.
type silence uint8

const (
	unchanged silence = iota
	silenceOn
	silenceOff
	silenceSkip
)

// readRequests reads the commands that are there.
func (p *parser) readRequests() {
	t, r := &p.req, &p.request
	b := t.Available()
	i := 0
	for p.err == nil {
		if r.slot == nil {
			// Between commands.
			if i == len(b) {
				t.Discard(uint64(i))
				if t.HoleAhead() {
					p.loseRequests()
				}
				return
			}
			if b[i] != '*' {
				t.Discard(uint64(i))
				if !p.inline() {
					return
				}
				b, i = t.Available(), 0
				continue
			}
			n, used := header(b[i:])
			if used <= 0 || n > maxArray || n == streamed {
				t.Discard(uint64(i))
				p.stuck(used == 0)
				return
			}
			if n <= 0 {
				i += used // nothing happens
				continue
			}
			t.Discard(uint64(i))
			r.origin = t.Begin(p.pairing.Role())
			b, i = t.Available(), used
			p.begin(n)
		}
		for r.left > 0 {
			if i == len(b) || b[i] != '$' {
				t.Discard(uint64(i))
				p.stuck(i == len(b))
				return
			}
			n, used := header(b[i:])
			if used <= 0 || n < 0 || n > maxBulk {
				t.Discard(uint64(i))
				p.stuck(used == 0)
				return
			}
			content := b[i+used:]
			if want := p.wanted(n); want > 0 {
				if len(content) < want {
					if !t.HoleAhead() {
						t.Discard(uint64(i))
						return
					}
					if !r.named {
						t.Discard(uint64(i))
						p.loseRequests()
						return
					}
					want = len(content)
				}
				p.argument(content[:want], n)
			} else if p.settings.QueryText == dbconv.TextRaw && p.request.named {
				p.argument(nil, n)
			}
			r.left--
			r.slot.More.size += uint64(n)
			if int64(len(content)) >= n+2 {
				if content[n] != '\r' || content[n+1] != '\n' {
					t.Discard(uint64(i))
					p.invalid(inRequests)
					return
				}
				i += used + int(n) + 2
				continue
			}
			t.Discard(uint64(i) + uint64(used) + uint64(n) + 2)
			b, i = t.Available(), 0
		}
		sl := r.slot
		r.slot = nil
		p.misses, p.failures, p.arrays = 0, 0, true
		p.push(sl)
		if t.Ahead() > 0 {
			return
		}
	}
}

// stuck is where the next bytes are not there, or not what they have to be. The position
// is at them.
func (p *parser) stuck(incomplete bool) {
	switch {
	case !incomplete:
		p.invalid(inRequests)
	case p.req.HoleAhead():
		p.loseRequests()
	}
}

// begin starts to read a command of n arguments, with its name.
func (p *parser) begin(n int64) {
	r := &p.request
	r.slot = p.pairing.Acquire(&r.origin)
	r.left, r.all, r.named, r.silent, r.client = n, n, false, unchanged, false
}

// wanted is how many bytes of the next argument, which has n, are needed.
func (p *parser) wanted(n int64) int {
	r := &p.request
	if !r.named {
		return int(min(n, maxName+1))
	}
	c := r.slot.More.command
	index := r.all - r.left
	var t traits
	if c != nil {
		t = c.traits
	}
	if p.settings.QueryText == dbconv.TextRaw && t&secret == 0 {
		room := dbconv.MaxText - len(r.slot.D.Text)
		return int(max(min(n, maxArgument, int64(room)), 0))
	}
	switch {
	case n > maxOption, t&(container|procedure|option|changes) == 0, index > 6:
		return 0
	case index == 1, t&option != 0, r.client && index == 2:
		return int(n)
	}
	return 0
}

// argument takes the next argument, of n bytes, as far as it is wanted.
func (p *parser) argument(b []byte, n int64) {
	r := &p.request
	if !r.named {
		p.name(b, n)
		return
	}
	sl := r.slot
	index := r.all - r.left
	c := sl.More.command
	if c != nil && int64(len(b)) == n {
		p.option(c, index, b)
	}
	if p.settings.QueryText == dbconv.TextRaw && (c == nil || c.traits&secret == 0) {
		if len(sl.D.Text) < dbconv.MaxText {
			sl.D.Text = append(sl.D.Text, ' ')
			if len(b) > 0 || n == 0 {
				sl.D.Text = appendArgument(sl.D.Text, b)
			}
		}
		if int64(len(b)) < n {
			sl.D.Text, sl.D.Cut = append(sl.D.Text, "..."...), true
		}
	}
}

// name takes the first argument. What is no name is answered, too, with an error.
func (p *parser) name(b []byte, n int64) {
	r := &p.request
	sl := r.slot
	var to [2*maxName + 1]byte
	name := upper(&to, b)
	if name == nil || int64(len(b)) != n {
		name = append(to[:0], "_OTHER"...)
	}
	r.named = true
	d := &sl.D
	d.Numbered = true
	d.Namespace = p.database
	if c := commands[string(name)]; c != nil {
		sl.More.command = c
		d.Operation = c.name
	} else {
		d.Operation = p.host.Strings.String(name)
	}
	if p.settings.QueryText == dbconv.TextRaw {
		d.Text = append(d.Text, d.Operation...)
	}
}

// option looks at an argument that means something to us.
func (p *parser) option(c *command, index int64, b []byte) {
	r := &p.request
	d := &r.slot.D
	t := c.traits
	switch {
	case len(b) > maxOption:
	case r.client && index == 2:
		switch {
		case bytes.EqualFold(b, []byte("ON")):
			r.silent = silenceOn
		case bytes.EqualFold(b, []byte("OFF")):
			r.silent = silenceOff
		case bytes.EqualFold(b, []byte("SKIP")):
			r.silent = silenceSkip
		}
	case t&option != 0:
		if bytes.EqualFold(b, []byte("BLOCK")) {
			d.Extra = append(d.Extra, dbconv.Attribute{Key: AttrBlocking, True: true})
		} else if bytes.EqualFold(b, []byte("STREAMS")) {
			r.slot.More.command = nil // behind it are keys
		}
	case index != 1:
	case t&container != 0:
		var to [2*maxName + 1]byte
		part := upper(&to, b)
		if part == nil {
			return
		}
		r.client = c == cmdClient && string(part) == "REPLY"
		var full [2*maxName + 1]byte
		name := append(append(append(full[:0], c.name...), ' '), part...)
		d.Operation = p.host.Strings.String(name)
	case t&procedure != 0:
		d.Procedure = p.host.Strings.String(b)
	case c == cmdSelect:
		p.choose(b)
	}
}

// choose is SELECT: the commands behind it use another database, unless it fails.
func (p *parser) choose(b []byte) {
	p.request.slot.More.before = p.database
	for _, c := range b {
		if c-'0' >= 10 {
			return
		}
	}
	if len(b) > 0 && len(b) < 10 {
		p.database = p.host.Strings.String(b)
	}
}

// push sends a command on its way that was read.
func (p *parser) push(sl *slot) {
	r := &p.request
	d := &sl.D
	c := sl.More.command
	var t traits
	if c != nil {
		t = c.traits
	}
	switch p.settings.QueryText {
	case dbconv.TextSanitized:
		marks := r.all - 1
		d.Text = append(d.Text[:0], d.Operation...)
		if t&container != 0 && len(d.Operation) > len(c.name) {
			marks--
		}
		d.Text = appendMarks(d.Text, marks)
	case dbconv.TextRaw:
		if t&secret != 0 {
			d.Text = appendMarks(append(d.Text[:0], d.Operation...), min(r.all-1, 1))
		}
	}
	if t&blocking != 0 {
		d.Extra = append(d.Extra, dbconv.Attribute{Key: AttrBlocking, True: true})
	}
	switch {
	case t&subscribe != 0:
		sl.More.confirmations = int(r.all - 1)
	case t&unsubscribe != 0:
		sl.More.confirmations = max(int(r.all-1), 1)
	}
	if p.answer.evidence {
		if r.origin.Turn {
			p.completeEvidence()
		} else {
			p.answer.open = false
			p.loseReplies()
		}
	}
	if p.unanswered(c) {
		d.Extra = append(d.Extra, dbconv.Attribute{Key: AttrUnanswered, True: true})
		p.pairing.Report(sl, p.time)
		return
	}
	boundary := !p.answer.open && !p.answer.evidence
	if !p.pairing.Push(sl, &r.origin, boundary) {
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
	if a, time, ok := p.pairing.Adopt(); ok {
		p.settle(p.pairing.Front(), &a, time)
	}
}

// unanswered applies CLIENT REPLY, and reports whether the command gets no reply.
func (p *parser) unanswered(c *command) bool {
	skip := p.skip
	p.skip = false
	if c == cmdReset && c != nil {
		p.off, skip = false, false
	}
	switch p.request.silent {
	case silenceOn:
		p.off = false
		return false
	case silenceOff:
		p.off = true
	case silenceSkip:
		p.skip = !p.off
		return true
	}
	return p.off || skip
}

// inline reads a command that is a line, at the position. It is false if there is none.
func (p *parser) inline() bool {
	t, r := &p.req, &p.request
	b := t.Available()
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		switch {
		case len(b) > maxLine || len(bytes.TrimSpace(b)) > 0 && !isInline(b):
			p.invalid(inRequests)
		case t.HoleAhead():
			p.loseRequests()
		}
		return false
	}
	text := bytes.TrimRight(b[:end], "\r")
	if len(bytes.TrimSpace(text)) == 0 {
		t.Discard(uint64(end + 1))
		return true
	}
	if !isInline(b) {
		p.invalid(inRequests)
		return false
	}
	r.origin = t.Begin(p.pairing.Role())
	p.begin(0)
	r.slot.More.size = uint64(end)
	for len(text) > 0 {
		var word []byte
		word, text = cutWord(text)
		if len(word) == 0 {
			continue
		}
		r.all++
		r.left = 1 // the argument at hand is the last one known
		p.argument(word, int64(len(word)))
	}
	r.left = 0
	t.Discard(uint64(end + 1))
	sl := r.slot
	r.slot = nil
	if !r.named {
		p.pairing.Release(sl)
		p.invalid(inRequests)
		return false
	}
	p.misses, p.failures = 0, 0
	p.push(sl)
	return true
}

// isInline reports whether bytes can be an inline command: they begin with the name of
// one.
func isInline(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	name := b[:min(len(b), maxName)]
	if i := bytes.IndexAny(name, " \r\n"); i >= 0 {
		name = name[:i]
	} else if len(b) < maxName {
		var to [2*maxName + 1]byte
		return upper(&to, name) != nil // it may go on
	}
	var to [2*maxName + 1]byte
	return commands[string(upper(&to, name))] != nil
}

// cutWord cuts the first word off, which may have quoted parts.
func cutWord(b []byte) (word, rest []byte) {
	quote := byte(0)
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quote != 0:
			if c == '\\' && quote == '"' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == ' ' || c == '\t':
			return b[:i], b[i+1:]
		}
	}
	return b, nil
}

// marks is what sanitized text ends with.
var marks = func() (m []byte) {
	for range maxMarks {
		m = append(m, " ?"...)
	}
	return m
}()

func appendMarks(b []byte, n int64) []byte {
	b = append(b, marks[:2*max(min(n, maxMarks), 0)]...)
	if n > maxMarks {
		b = append(b, " ..."...)
	}
	return b
}

// appendArgument appends an argument as redis-cli wants it.
func appendArgument(b, argument []byte) []byte {
	plain := len(argument) > 0
	for _, c := range argument {
		if c <= ' ' || c == '"' || c == '\'' || c == '\\' || c > '~' {
			plain = false
			break
		}
	}
	if plain {
		return append(b, argument...)
	}
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for _, c := range argument {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c < ' ' || c > '~':
			b = append(b, '\\', 'x', digits[c>>4], digits[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
