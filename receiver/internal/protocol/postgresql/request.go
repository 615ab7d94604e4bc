// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"encoding/binary"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// maxBody is how much of a message is looked at: a text, and names before it.
	maxBody = dbconv.MaxText + 256
	// maxName is how much is looked at where only names are wanted.
	maxName = 256
	// maxHidden is the size of what may follow a long message in the same segment
	// without being copied: Bind, Describe, Execute, Close and Sync.
	maxHidden = 96
	// Sizes of messages about the portal without a name.
	describeSize, executeSize, syncSize = 7, 10, 5
)

// requests consumes a segment of the frontend's.
func (p *parser) requests(s *protocol.Segment, turn bool) {
	if s.Lost > 0 {
		p.dropHeld() // what was lost may have been asked before
	}
	if turn && p.size == 0 && !p.req.lost && p.req.Ahead() == 0 && len(p.held) > 0 && len(p.early) == 0 {
		// All answers have come, and no other before this: they were the right ones.
		p.flushHeld()
		p.provisional = false
	}
	if p.provisional && !p.requested && p.answered && !p.idle {
		p.uncertain = true // earlier answers are still coming
	}
	p.requested = true
	if len(p.early) > 0 && s.First > p.early[0].time {
		// What came early was no answer to this.
		p.strangers()
	}
	if turn && (p.req.lost || p.uncertain) {
		p.recover(s)
	}
	t := &p.req.Stream
	t.Feed(s, turn)
	if p.req.lost {
		t.Clear()
		return
	}
	for p.err == nil && p.request(t, s) {
	}
	t.Keep()
}

// strangers gives up answers that nothing asked for.
func (p *parser) strangers() {
	for _, e := range p.early {
		if e.typ != 'E' {
			p.unknown()
			break
		}
	}
	p.early = p.early[:0]
}

// unknown: an answer came to what was not seen. (An error alone can come unasked: the
// server says why it hangs up.)
func (p *parser) unknown() {
	p.host.Stats.Unmatched++
	// It may be from before we came: then what was held is wrong.
	p.pipelined = p.pipelined || p.provisional
	p.desync()
}

// recover finds the boundaries of requests again, at the beginning of a turn.
func (p *parser) recover(s *protocol.Segment) {
	silent := s.First >= max(p.req.last, p.resp.last)+quiet
	if p.resp.lost || !silent && (p.pipelined || !p.idle || p.resp.Ahead() > 0 || len(p.resp.Available()) > 0) {
		return
	}
	if !p.req.lost && (s.Lost > 0 || p.req.Ahead() > 0 || len(p.req.Available()) > 0) {
		return // in the middle of a message
	}
	if p.req.lost {
		if len(s.Data) < headSize || s.Lost > 0 {
			return
		}
		if typ, length, ok := head(s.Data, &requestTypes); !ok || uint64(len(s.Data)-1) >= length && requestEvidence(typ, s.Data[headSize:length+1]) < 0 {
			return
		}
		p.host.Stats.Resyncs++
		p.misses = 0
	}
	p.abandonAll()
	p.req.Clear()
	p.req.lost, p.uncertain = false, false
	p.provisional = true
}

// request consumes one message; false if it is not all there.
func (p *parser) request(t *stream.Stream, s *protocol.Segment) bool {
	if p.phase == phaseStartup || p.phase == phaseEncryption {
		return p.startup(t, s)
	}
	if p.phase == phaseCancel {
		t.Clear()
		return false
	}
	b, status := t.Peek(headSize)
	switch status {
	case stream.More:
		return false
	case stream.Hole:
		p.hole(t, s)
		return false
	}
	typ, length, ok := head(b, &requestTypes)
	if !ok {
		p.failed()
		p.loseRequests(t)
		return false
	}
	size := int(length) + 1
	want := headSize
	switch typ {
	case 'Q', 'P':
		want = min(size, headSize+maxBody)
	case 'B', 'E', 'C', 'D':
		want = min(size, headSize+maxName)
	}
	if want > headSize {
		if b, status = t.Peek(want); status == stream.More {
			return false
		}
		if status == stream.Hole {
			b = t.Available()
		}
	}
	p.failures = 0
	p.messages++
	p.message(typ, b[headSize:], t)
	t.Discard(uint64(size))
	return p.phase != phaseCancel
}

// message acts on one; body is what is looked at of it.
func (p *parser) message(typ byte, body []byte, t *stream.Stream) {
	switch typ {
	case 'Q':
		p.query(body, t)
	case 'P':
		p.parse(body, t)
	case 'B':
		p.operation(t)
		portal, rest, ok := text(body)
		name, _, ok2 := text(rest)
		if !ok || !ok2 {
			portal, name = nil, []byte{0} // too long: of nobody
		}
		p.bind(portal, p.statement(name))
		p.ask(asked{ask: askBind})
	case 'D':
		p.ask(asked{ask: askDescribe})
	case 'E':
		p.operation(t)
		var st *statement
		if portal, _, ok := text(body); ok {
			st = p.portalOf(portal)
		}
		p.execute(askExecute, st)
	case 'C':
		if len(body) > 0 {
			if name, _, ok := text(body[1:]); ok && body[0] == 'S' {
				p.closeStatement(name)
			} else if ok {
				p.closePortal(name)
			}
		}
		p.ask(asked{ask: askClose})
	case 'S':
		p.hasPending = false
		if !p.copying {
			p.ask(asked{ask: askSync})
		}
	case 'F':
		p.operation(t)
		sl := p.acquire(&p.pending)
		p.hasPending = false
		sl.d.Operation = "FUNCTION CALL"
		p.start(sl)
		p.ask(asked{ask: askFunction, slot: sl})
	case 'c', 'f':
		p.copying = false
	}
}

// ask adds to the queue.
func (p *parser) ask(a asked) {
	if p.uncertain {
		p.drop(a) // its answer would not be known
		return
	}
	if p.size >= maxAsked {
		p.host.Stats.Resyncs++
		p.drop(a)
		p.pipelined = true
		p.desync()
		return
	}
	if a.ask.group() && p.groups > 0 {
		p.pipelined = true
	}
	p.push(a)
}

// doubt is about what began at o: if the end of it was lost, and it is known by what came
// behind only, it may have been answered by now.
func (p *parser) doubt(o *stream.Origin) {
	if p.behind && p.size == 0 && o.First <= p.resp.last {
		p.desync()
	}
}

// operation notes where an operation begins, if it has not yet.
func (p *parser) operation(t *stream.Stream) {
	if !p.hasPending {
		o := t.Begin(p.role)
		p.doubt(&o)
		p.pending, p.hasPending = o, true
	}
}

// execute begins the exchange of the operation in progress.
func (p *parser) execute(a ask, st *statement) {
	sl := p.acquire(&p.pending)
	p.hasPending = false
	sl.prepared(st)
	if a == askExecute {
		p.start(sl)
	}
	p.ask(asked{ask: a, slot: sl})
}

// query is a simple one.
func (p *parser) query(body []byte, t *stream.Stream) {
	p.hasPending = false
	o := t.Begin(p.role)
	p.doubt(&o)
	sl := p.acquire(&o)
	d := &sl.d
	query, cut := textOf(body)
	d.Cut = cut
	described, summary := p.describe(sl.buf[:0], query, cut, false)
	sl.buf, d.Text = described, described
	d.Summary, d.Procedure = summary.Summary, summary.Procedure
	// A simple query destroys the unnamed statement and portal.
	p.closeStatement(nil)
	p.closePortal(nil)
	p.start(sl)
	p.ask(asked{ask: askQuery, slot: sl})
}

// textOf is the string at the beginning of a message's body, and whether it goes on
// behind what is there or is to be kept.
func textOf(body []byte) (query []byte, cut bool) {
	query, _, ok := text(body)
	if !ok {
		query = body
		cut = true
	}
	if len(query) > dbconv.MaxText {
		query, cut = query[:dbconv.MaxText], true
	}
	return query, cut
}

func (p *parser) parse(body []byte, t *stream.Stream) {
	p.operation(t)
	name, rest, ok := text(body)
	if !ok {
		p.ask(asked{ask: askParse})
		return
	}
	st := p.session.acquire()
	query, cut := textOf(rest)
	st.cut = cut
	st.text, st.summary = p.describe(st.text[:0], query, cut, true)
	st.origin = p.pending
	p.prepare(name, st)
	p.ask(asked{ask: askParse, statement: retain(st)})
}

// hole: messages begin in bytes that were not copied. If they are few and a Sync is the
// last of them, the answers tell what they were.
func (p *parser) hole(t *stream.Stream, s *protocol.Segment) {
	end := s.Offset + uint64(s.Len)
	if at := t.Offset(); at < end && end-at <= maxHidden && endsSync(s.Tail) && !p.uncertain {
		switch hidden := end - at; {
		case !p.hasPending || p.copying:
		case hidden == executeSize+syncSize:
			p.execute(askExecute, p.portal)
		case hidden == describeSize+executeSize+syncSize:
			p.ask(asked{ask: askDescribe})
			p.execute(askExecute, p.portal)
		default:
			st := p.portal
			if p.size > 0 && p.at(p.size-1).ask == askParse {
				st = p.at(p.size - 1).statement
			}
			p.execute(askHidden, st)
		}
		if !p.copying {
			p.ask(asked{ask: askSync})
		}
		p.hasPending = false
		t.Clear()
		return
	}
	p.loseRequests(t)
}

// loseRequests: the boundaries are lost, and whatever was asked since.
func (p *parser) loseRequests(t *stream.Stream) {
	t.Clear()
	p.req.lost = true
	p.narrow()
	if p.copying {
		// Nothing but data comes until the copy is over.
		if p.size > 0 && p.at(0).ask == askExecute {
			p.ask(asked{ask: askSync})
		}
		return
	}
	p.forget()
	p.desync()
}

// startup consumes the packets before the session: they have no type.
func (p *parser) startup(t *stream.Stream, s *protocol.Segment) bool {
	b, status := t.Peek(8)
	if status == stream.More {
		return false
	}
	if status == stream.Hole {
		p.phase = phaseSession
		p.loseRequests(t)
		return false
	}
	length, code := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	switch {
	case length < 8 || length > maxStartup:
		p.err = protocol.ErrMismatch
		return false
	case code == codeSSL || code == codeGSSENC:
		p.phase = phaseEncryption
		if p.declined {
			p.phase, p.declined = phaseStartup, false
		}
		t.Discard(uint64(length))
		return true
	case code == codeCancel:
		p.phase = phaseCancel
		return false
	case code>>16 != majorNumber:
		p.err = protocol.ErrMismatch
		return false
	}
	if b, status = t.Peek(int(length)); status == stream.More {
		return false
	}
	if status == stream.Ready {
		p.parameters(b[8:])
	}
	t.Discard(uint64(length))
	p.phase = phaseSession
	p.ask(asked{ask: askStartup})
	return true
}

// parameters of the startup message (chapter 55.7).
func (p *parser) parameters(b []byte) {
	user := ""
	strings := p.host.Strings
	startupParameters(b, func(name, value []byte) {
		switch string(name) {
		case "user":
			user = strings.String(value)
		case "database":
			p.database = strings.String(value)
		case "search_path":
			p.schema = schemaOf(string(value))
		case "options":
			p.schema = schemaOf(option(string(value), "search_path"))
		}
	})
	if p.database == "" {
		p.database = user // the server's default
	}
	p.qualify()
}
