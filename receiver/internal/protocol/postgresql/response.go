// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"bytes"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// maxTag is the longest CommandComplete that is read, maxError how much of an
	// error: its code comes before the message.
	maxTag   = 64
	maxError = 160
)

// responses consumes a segment of the backend's.
func (p *parser) responses(s *protocol.Segment, turn bool) {
	t := &p.resp.Stream
	t.Feed(s, turn)
	for p.err == nil && !p.resp.lost && p.response(t, s) {
	}
	if p.resp.lost && p.err == nil {
		p.gap = p.gap || s.Lost > 0
		p.regain(s)
		t.Clear()
	}
	t.Keep()
}

// response consumes one message; false if it is not all there.
func (p *parser) response(t *stream.Stream, s *protocol.Segment) bool {
	b, status := t.Peek(1)
	if status == stream.More {
		return false
	}
	if status == stream.Ready && (p.phase == phaseEncryption || p.phase == phaseStartup && encrypts(b[0]) && len(t.Available()) == 1) {
		return p.encryption(t, b[0])
	}
	if status == stream.Ready {
		b, status = t.Peek(headSize)
	}
	switch status {
	case stream.More:
		return false
	case stream.Hole:
		p.loseResponses()
		return false
	}
	typ, length, ok := head(b, &responseTypes)
	if !ok {
		p.failed()
		p.loseResponses()
		return false
	}
	size := length + 1
	p.messages++
	if typ == 'D' || typ == 'd' {
		// The bulk: only counted.
		if typ == 'D' && p.size == 0 {
			p.earlyRows++
		} else if typ == 'D' {
			if sl := p.at(0).slot; sl != nil {
				sl.rows++
			}
		}
		t.Discard(size)
		return true
	}
	want := headSize
	switch typ {
	case 'C':
		want = int(min(size, headSize+maxTag))
	case 'E', 'N':
		want = int(min(size, headSize+maxError))
	case 'S':
		if size <= 512 {
			want = int(size)
		}
	case 'Z':
		want = int(size)
	}
	e := event{typ: typ, time: s.Time}
	if want > headSize {
		if b, status = t.Peek(want); status == stream.More {
			return false
		}
		if status == stream.Hole {
			b = t.Available()
		}
		e.fill(b[headSize:])
		if typ == 'S' {
			p.reported(b[headSize:])
		}
	}
	p.failures = 0
	t.Discard(size)
	p.answer(&e)
	return true
}

// fill takes what is wanted of the body.
func (e *event) fill(body []byte) {
	switch e.typ {
	case 'C':
		tag, _, ok := text(body)
		if !ok {
			return
		}
		word := tag
		if n := bytes.IndexByte(tag, ' '); n > 0 {
			word = tag[:n]
		}
		switch string(word) {
		case "SELECT", "FETCH", "SHOW", "EXPLAIN", "VALUES", "TABLE":
			e.tag = true
		}
	case 'E', 'N':
		if code := field(body, 'C'); len(code) == len(e.code) {
			copy(e.code[:], code)
		}
	}
}

// encrypts reports whether b can answer a request for encryption.
func encrypts(b byte) bool { return b == 'N' || b == 'S' || b == 'G' }

// encryption consumes the one byte that answers SSLRequest and GSSENCRequest.
func (p *parser) encryption(t *stream.Stream, b byte) bool {
	switch b {
	case 'N':
		p.declined = p.phase == phaseStartup
		p.phase = phaseStartup
		t.Discard(1)
		return true
	case 'S', 'G':
		p.err = protocol.ErrOpaque
		return false
	case 'E':
		// An old server, which does not know the request; it hangs up.
		t.Clear()
		return false
	}
	p.err = protocol.ErrMismatch
	return false
}

// answer acts on a message of the backend's.
func (p *parser) answer(e *event) {
	switch e.typ {
	case 'A', 'S', 'K', 'v', 'R':
		return
	case 'N':
		if p.size > 0 && e.code[0] == '0' && e.code[1] == '1' {
			// A warning.
			if sl := p.at(0).slot; sl != nil && sl.d.Status == "" {
				sl.d.Status = p.host.Strings.String(e.code[:])
			}
		}
		return
	}
	p.answered, p.idle = true, e.typ == 'Z'
	if p.uncertain || p.provisional && !p.requested {
		return
	}
	if p.size == 0 {
		p.unasked(e)
		return
	}
	front := p.at(0)
	if front.ask == askStartup {
		if e.typ == 'Z' {
			p.pop()
		}
		return
	}
	switch e.typ {
	case 'Z':
		p.ready(e)
	case 'E':
		p.refused(e)
	case '1':
		p.expect(askParse)
	case '2':
		p.expect(askBind)
	case '3':
		p.expect(askClose)
	case 'T', 'n':
		if front.ask == askDescribe {
			p.pop()
		} else if e.typ == 'n' && front.ask != askHidden || e.typ == 'T' && front.ask != askQuery && front.ask != askHidden {
			p.lostTrack()
		} else if front.slot != nil {
			front.slot.returns = true
		}
	case 't', 'c', 'H':
	case 'G':
		p.copyIn(front)
	case 'W':
		// Replication: there is no end to it.
		p.err = protocol.ErrOpaque
	case 'V':
	case 'C', 'I', 's':
		p.complete(front, e)
	}
}

// expect takes a message out that is answered.
func (p *parser) expect(a ask) {
	front := p.at(0)
	if front.ask == askHidden {
		return
	}
	if front.ask != a {
		p.lostTrack()
		return
	}
	p.release(p.pop().statement)
}

// lostTrack: the answer does not fit what was asked.
func (p *parser) lostTrack() {
	p.failed()
	p.pipelined = true
	p.desync()
}

// complete ends an execution.
func (p *parser) complete(front *asked, e *event) {
	sl := front.slot
	p.copying = false
	if sl != nil {
		sl.rows += e.rows
	}
	switch front.ask {
	case askQuery:
		sl.returns = sl.returns || e.tag
		if e.typ == 'C' {
			sl.completed++
		}
	case askExecute:
		p.pop()
		sl.returns = sl.returns || e.tag || e.typ == 's'
		p.finish(sl, e.time, exchange.FailureNone)
	case askHidden:
		if sl == nil {
			p.host.Stats.Unmatched++
			return
		}
		front.slot = nil
		sl.returns = sl.returns || e.tag
		p.start(sl)
		p.finish(sl, e.time, exchange.FailureNone)
	default:
		p.lostTrack()
	}
}

// refused: an error. It is the operation's in whose messages it comes; the server skips
// what follows up to the next Sync.
func (p *parser) refused(e *event) {
	front := p.at(0)
	p.copying = false
	if front.ask == askQuery || front.ask == askFunction {
		p.mark(front.slot, e)
		return
	}
	p.aborted = true
	// What failed is the first thing in the queue; the operation ends with the next
	// Execute, if there is one.
	for i := range p.size {
		a := p.at(i)
		if a.ask == askSync {
			break
		}
		sl := a.slot
		if sl == nil {
			continue
		}
		a.slot = nil
		if a.ask == askHidden {
			p.start(sl)
		}
		p.mark(sl, e)
		p.finish(sl, e.time, exchange.FailureNone)
		a.ask = askClose // skipped over at the Sync
		return
	}
	if st := front.statement; front.ask == askParse && st != nil {
		sl := p.acquire(&st.origin)
		sl.prepared(st)
		p.start(sl)
		p.mark(sl, e)
		p.finish(sl, e.time, exchange.FailureNone)
	}
}

// mark notes an error.
func (p *parser) mark(sl *slot, e *event) {
	sl.failedAt = e.time
	sl.d.Failed = true
	sl.d.Status = ""
	if sqlState(e.code[:]) {
		sl.d.Status = p.host.Strings.String(e.code[:])
	}
}

// ready ends a group of messages.
func (p *parser) ready(e *event) {
	aborted := p.aborted
	p.aborted = false
	for p.size > 0 {
		a := p.pop()
		p.release(a.statement)
		sl := a.slot
		switch {
		case a.ask == askStartup:
			return
		case a.ask == askQuery || a.ask == askFunction:
			p.finish(sl, e.time, exchange.FailureNone)
			return
		case a.ask == askSync:
			return
		case sl == nil:
		case !sl.begun:
			p.recycle(sl)
		case aborted:
			// The server did not look at it.
			sl.d.Failed, sl.d.Error = true, "pipeline_aborted"
			p.finish(sl, e.time, exchange.FailureNone)
		default:
			p.abandon(sl)
			p.failed()
		}
	}
}

// copyIn: the server waits for data, and ignores a Sync it has been sent already.
func (p *parser) copyIn(front *asked) {
	p.copying = true
	if front.ask != askExecute {
		return
	}
	for i := 1; i < p.size; i++ {
		if a := p.at(i); a.ask == askSync {
			a.ask = askClose
			p.groups--
			// Out of the queue: nothing answers it.
			for ; i+1 < p.size; i++ {
				*p.at(i) = *p.at(i + 1)
			}
			*p.at(p.size - 1) = asked{}
			p.size--
			return
		}
	}
}

// unasked is an answer when nothing is asked: a client's send may be reported later.
func (p *parser) unasked(e *event) {
	if p.role == exchange.RoleServer || len(p.early) >= maxEarly {
		if e.typ != 'E' {
			p.unknown()
		}
		return
	}
	e.rows, p.earlyRows = p.earlyRows, 0
	p.early = append(p.early, *e)
}

// replay answers what was asked late with what came early.
func (p *parser) replay() {
	n := 0
	for n < len(p.early) && p.size > 0 {
		e := p.early[n]
		n++
		p.answer(&e)
	}
	p.early = append(p.early[:0], p.early[min(n, len(p.early)):]...)
}

// loseResponses: it is not known where messages begin, nor what has been answered.
func (p *parser) loseResponses() {
	p.resp.lost, p.gap = true, false
	p.narrow()
	if sl := p.oldest(); sl != nil {
		sl.partial = true
	}
}

// regain looks for the end of a group at the end of a segment.
func (p *parser) regain(s *protocol.Segment) {
	end := s.Tail
	if len(s.Data) == s.Len {
		end = s.Data
	}
	if !endsReady(end) {
		return
	}
	p.host.Stats.Resyncs++
	p.resp.lost = false
	p.misses = 0
	p.idle = true
	if p.groups > 1 {
		// Which of them were answered is not known.
		p.pipelined = true
		p.desync()
		return
	}
	// All of the only group is answered, unless segments were lost: then requests may
	// have been, too. If there is one exchange in it, its outcome shows: an error ends
	// with two NULs, the tag of a CommandComplete with one.
	only := p.spans == 1 && len(end) >= 8 && !p.uncertain && !p.gap
	p.provisional = true
	for p.groups > 0 {
		a := p.pop()
		p.release(a.statement)
		sl := a.slot
		switch {
		case sl == nil:
		case !sl.begun || !only:
			p.abandon(sl)
		default:
			sl.partial = true
			if before := end[len(end)-8:]; before[0] == 0 && before[1] == 0 && sl.failedAt == 0 {
				p.mark(sl, &event{time: s.Time})
			}
			p.finish(sl, s.Time, exchange.FailureNone)
		}
	}
	p.aborted, p.copying = false, false
}

// reported is a ParameterStatus.
func (p *parser) reported(body []byte) {
	name, rest, ok := text(body)
	if !ok {
		return
	}
	value, _, ok := text(rest)
	if !ok {
		return
	}
	switch string(name) {
	case "standard_conforming_strings":
		p.escapes = string(value) == "off"
	case "search_path":
		p.schema = schemaOf(string(value))
		p.qualify()
	case "crdb_version":
		p.system = "cockroachdb"
	}
}

// qualify makes db.namespace.
func (p *parser) qualify() {
	switch {
	case p.database == "":
		// A schema without its database is of no use.
	case p.schema == "":
		p.namespace = p.database
	default:
		p.namespace = p.host.Strings.String([]byte(p.database + "|" + p.schema))
	}
}

// option is the value of `-c name=value` in the options of a startup message, "" if
// there is none.
func option(options, name string) string {
	_, rest, ok := strings.Cut(options, name+"=")
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, " ")
	return value
}
