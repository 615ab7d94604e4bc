// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

const (
	// maxFailures is how many unparseable messages in a row make a mismatch.
	maxFailures = 5
	// maxMisses is how many turns of requests may begin without a request
	// before that is a mismatch; fewer while nothing was ever understood.
	maxMisses         = 32
	maxMissesUnproven = 8
	// keepBuffer is the largest head buffer kept between messages, in bytes.
	keepBuffer = 8 << 10
)

// state is where a stream is in the message framing.
type state uint8

const (
	// stateSync: no message is in progress as far as known; the next one is
	// looked for at the start of every segment.
	stateSync state = iota
	// stateHead: at the start of a message, or in its head.
	stateHead
	// stateLength: in a body of which remain bytes are left.
	stateLength
	// stateChunkSize, stateChunkData, stateChunkEnd, stateTrailer: in a
	// chunked body (chunked.go).
	stateChunkSize
	stateChunkData
	stateChunkEnd
	stateTrailer
	// stateUntilClose: in a response body that the connection's end ends.
	stateUntilClose
	// stateEvidence: in a message whose framing was lost. Its end shows by
	// evidence (body.go).
	stateEvidence
	// stateOrphan: behind the head of a response whose request was not seen.
	// It has a body unless the request was HEAD.
	stateOrphan
)

// stream is one direction of the connection.
type stream struct {
	state state
	// candidate: the head being read was found by looking for one; it may
	// turn out to be none.
	candidate bool
	// lost: stateSync was entered because something was lost.
	lost bool
	// strict: stateSync was entered because a message was invalid.
	strict bool
	// unknown: the size of the body in progress is not known.
	unknown bool
	// checked: the start line in buf was found valid.
	checked bool
	chunk   chunk
	// tail are the last bytes of the stream, kept in stateEvidence.
	tail  [8]byte
	ntail uint8
	// remain is what is left of the body, or of the chunk; body counts the
	// payload bytes of the message so far.
	remain, body int64
	// slot is the exchange of the message in progress; nil if it has none or
	// that has ended already.
	slot *slot
	// want is how many of the next bytes of the body are wanted (application.go).
	want int
	// buf is the head so far, when it came in several segments.
	buf []byte
	// repeat is the head before.
	repeat repeat
	// last is the time of the stream's last segment.
	last uint64
	// largest is the longest head seen, in bytes.
	largest int
}

// origin is where a request began.
type origin struct {
	first    uint64
	pid, tid uint32
	identity exchange.Identity
	// queueTime is as in exchange.Measured.
	queueTime uint32
	// turn: bytes in the other direction came between the previous request
	// and this one. quiet: there was no traffic at all for a while; pause: for
	// a moment.
	turn, quiet, pause bool
}

// slot is one exchange in flight.
type slot struct {
	x exchange.Exchange
	d httpconv.Detail
	// head, connect: the method is HEAD, CONNECT.
	head, connect bool
	// expect: the request waits for 100 (Continue); continued: it came.
	expect, continued bool
	// final: the response's head was seen.
	final bool
}

type parser struct {
	host      protocol.Host
	settings  *httpconv.Settings
	direction protocol.Direction
	role      exchange.Role
	window    protocol.Window
	err       error
	closed    bool

	req, resp stream
	origin    origin
	pairing

	// failures and misses lead to ErrMismatch; proven: an exchange was
	// complete once.
	// missed: this turn is counted already.
	failures, misses int
	proven, missed   bool
	// identityUsed, requests and responses are about the segment at hand.
	identityUsed        bool
	requests, responses int
	// behind is the position, as both ends of the connection count, behind the bytes
	// at hand.
	behind uint32
	// last is the time of the connection's last segment.
	last uint64
	// measured is of the response direction's last segment.
	measured exchange.Measured
	// state is the tracestate seen last.
	state string
	// unsent: the server answered without asking for the body announced by
	// the request in progress; it may never come.
	unsent bool

	// recorded ends of the directions (end.go).
	ends protocol.Ends

	settled int

	// lines is the head that is acted on, while it is, if it tells an application.
	lines []byte
	// typed: there are exchanges in flight of which the response's type is wanted.
	typed bool
	// early is what the orphan's head tells of an application; nil if none ever did.
	early *httpconv.Detail

	// upgrade is how the connection goes on, after ErrUpgraded.
	upgrade *protocol.Upgrade
}

var _ protocol.Parser = (*parser)(nil)

// Segment implements protocol.Parser.
func (p *parser) Segment(s *protocol.Segment) error {
	if p.err != nil || p.closed {
		return p.err
	}
	st := &p.resp
	p.requests, p.responses = 0, 0
	if s.Dir == p.direction {
		st = &p.req
		p.identityUsed = false
	} else {
		p.response()
		p.observe(s)
	}
	length := max(s.Len, len(s.Data))
	if s.Lost > 0 {
		p.gap(st, int64(min(s.Lost, 1<<62)), s)
		p.soil(st)
	}
	if len(s.Data) > 0 {
		p.start(st, s)
		p.behind = s.Position + uint32(len(s.Data))
		p.feed(st, s.Data, s)
	}
	if hole := length - len(s.Data); hole > 0 {
		tail := s.Tail
		if len(tail) > hole {
			tail = tail[len(tail)-hole:]
		}
		if n := hole - len(tail); n > 0 || len(s.Data) == 0 && st.state == stateSync {
			p.hole(st, int64(n), s)
		}
		p.behind = s.Position + uint32(length)
		p.feed(st, tail, s)
	}
	if st.state == stateEvidence {
		p.evidence(st, s)
	}
	p.soil(st)
	st.last = s.Time
	p.last = max(p.last, s.Time)
	if p.err != nil {
		p.abandonAll()
	}
	return p.err
}

// observe keeps what the kernel tells with a response.
func (p *parser) observe(s *protocol.Segment) {
	p.measured = s.Measured
	if sl := p.oldest(); sl != nil && s.Identity.Peer != 0 && s.Identity.Peer == sl.x.Identity.Seed {
		sl.x.Identity.Learn(&s.Identity)
	}
}

// soil notes that request bytes passed without being understood.
func (p *parser) soil(st *stream) {
	if st == &p.req && (st.state == stateSync || st.state == stateEvidence) {
		p.dirty = true
	}
}

// response notes that bytes of a response came, before they are looked at.
func (p *parser) response() {
	p.answered, p.missed, p.dirty = true, false, false
	if p.req.state == stateHead && p.req.candidate && len(p.req.buf) > 0 {
		// What looked like the beginning of a request is not being continued.
		p.req.sync(p.req.lost)
	}
}

// sync makes the stream look for the next message at segment starts.
func (st *stream) sync(lost bool) {
	st.state = stateSync
	st.lost = lost
	st.strict = false
	st.slot = nil
	st.release()
}

// release empties the head buffer.
func (st *stream) release() {
	st.buf = st.buf[:0]
	if cap(st.buf) > keepBuffer {
		st.buf = nil
	}
	st.checked = false
}

// boundary puts the stream behind a complete message.
func (st *stream) boundary() {
	st.state = stateHead
	st.candidate = false
	st.slot = nil
}

// start looks at the beginning of a segment where a message may begin that the
// framing does not announce.
func (p *parser) start(st *stream, s *protocol.Segment) {
	if st == &p.req {
		p.startRequest(s)
	} else {
		p.startResponse(s)
	}
}

func (p *parser) startRequest(s *protocol.Segment) {
	st := &p.req
	if p.unsent {
		p.unsent = false
		if matchRequestLine(s.Data, maxHead) == yes {
			st.boundary()
		}
	}
	if st.state == stateEvidence {
		if b := skipEmptyLines(s.Data); commonMethod(b) && matchRequestLine(b, maxHead) == yes {
			st.unknownBody()
			st.sync(true)
		} else if st.slot == nil && p.answered {
			st.sync(true)
		}
	}
	if st.state != stateSync {
		return
	}
	b := skipEmptyLines(s.Data)
	m := matchRequestLine(b, maxHead)
	if st.lost && !commonMethod(b) {
		m = no
	}
	switch {
	case len(b) == 0:
	case m == yes, m == maybe && p.answered:
		st.state, st.candidate = stateHead, true
	case st.strict:
		p.failed()
	case p.answered && !p.missed:
		// Counted once per turn: a long upload must not wear it out.
		p.missed = true
		p.misses++
		if p.misses > maxMisses || !p.proven && p.misses > maxMissesUnproven {
			p.err = protocol.ErrMismatch
		}
	}
}

func (p *parser) startResponse(s *protocol.Segment) {
	st := &p.resp
	if st.state == stateEvidence && matchStatusLine(s.Data) == yes {
		if st.slot != nil {
			p.completeResponse(st.last)
		}
		st.sync(true)
	}
	if st.state != stateSync {
		return
	}
	if b := skipEmptyLines(s.Data); len(b) > 0 && matchStatusLine(b) != no {
		st.state, st.candidate = stateHead, true
	}
}

// failed counts a message that was not understood where one had to be.
func (p *parser) failed() {
	p.failures++
	if p.failures >= maxFailures {
		p.err = protocol.ErrMismatch
	}
}

// feed consumes bytes that follow each other in the stream.
func (p *parser) feed(st *stream, b []byte, s *protocol.Segment) {
	for len(b) > 0 && p.err == nil {
		switch st.state {
		case stateHead:
			b = p.feedHead(st, b, s)
		case stateLength:
			n := min(int64(len(b)), st.remain)
			if st.want > 0 {
				p.take(st, b[:n])
			}
			b = b[n:]
			st.remain -= n
			st.body += n
			if st.remain == 0 {
				p.complete(st, s.Time)
			}
		case stateUntilClose:
			if st.want > 0 {
				p.take(st, b)
			}
			st.body += int64(len(b))
			return
		case stateOrphan:
			p.resolveOrphan(b)
		case stateSync, stateEvidence:
			return
		default:
			b = p.feedChunked(st, b, s)
		}
	}
	if p.upgrade != nil && p.upgrade.Rest < 0 {
		p.upgrade.Rest = len(b)
	}
}

// Upgraded implements protocol.Upgrader.
func (p *parser) Upgraded() *protocol.Upgrade { return p.upgrade }

// feedHead consumes bytes at the start of a message or in its head.
func (p *parser) feedHead(st *stream, b []byte, s *protocol.Segment) []byte {
	if len(st.buf) == 0 {
		b = skipEmptyLines(b)
		if len(b) == 0 {
			return nil
		}
		if st == &p.req {
			p.begin(s, p.behind-uint32(len(b)))
		}
		n := 0
		if len(b) <= maxHead || headEnd(b[:maxHead], 0) >= 0 {
			n = p.parse(st, b, false, s)
		} else {
			n = -1
		}
		switch {
		case n > 0:
			return b[n:]
		case n < 0:
			p.invalid(st, s)
			return nil
		}
		st.buf = append(st.buf, b...)
		p.check(st, s)
		return nil
	}
	old := len(st.buf)
	st.buf = append(st.buf, b[:min(len(b), maxHead-old)]...)
	end := headEnd(st.buf, max(0, old-2))
	if end < 0 {
		if len(st.buf) >= maxHead {
			p.invalid(st, s)
			return nil
		}
		p.check(st, s)
		return nil
	}
	// The handlers may leave the head state, but none touches buf.
	if p.parse(st, st.buf[:end], false, s) <= 0 {
		p.invalid(st, s)
		return nil
	}
	st.release()
	return b[end-old:]
}

// check refuses early a head that does not begin like one.
func (p *parser) check(st *stream, s *protocol.Segment) {
	if st.checked {
		return
	}
	m := no
	if st == &p.req {
		m = matchRequestLine(st.buf, maxHead)
	} else {
		m = matchStatusLine(st.buf)
	}
	st.checked = m == yes
	if m == no {
		p.invalid(st, s)
	}
}

// parse parses a head at the start of b and acts on it if it is complete (or
// cut). It returns the head's length, 0 if it is incomplete, -1 if invalid.
func (p *parser) parse(st *stream, b []byte, cut bool, s *protocol.Segment) int {
	var h head
	length := st.repeat.parse(&h, st == &p.req, b, cut)
	if length <= 0 {
		return length
	}
	if h.folded {
		unfolded := append([]byte(nil), b[:length]...)
		unfold(unfolded)
		h = head{}
		if h.parseAny(st == &p.req, unfolded, cut) <= 0 {
			return -1
		}
		p.lines = unfolded
	} else if h.telling || p.typed {
		p.lines = b[:length]
	}
	if st.lost {
		st.lost = false
		p.host.Stats.Resyncs++
	}
	st.candidate, st.strict = false, false
	size := length
	if h.cut {
		size = cutHead
	}
	if size > st.largest {
		st.largest = size
		p.grow()
	}
	if st == &p.req {
		p.request(&h, s)
	} else {
		h.h2c = h.status == 101 && upgradesTo(b[:length], "h2c")
		p.respond(&h, s)
	}
	if p.lines != nil {
		p.lines = nil
	}
	return length
}

func (h *head) parseAny(request bool, b []byte, cut bool) int {
	if request {
		return h.parseRequest(b, cut)
	}
	return h.parseResponse(b, cut)
}

// begin notes where a request starts: at a position as both ends count.
func (p *parser) begin(s *protocol.Segment, position uint32) {
	o := &p.origin
	o.first, o.pid, o.tid = s.First, s.PID, s.TID
	o.queueTime = s.Measured.QueueTime
	if p.size == 0 {
		p.measured = exchange.Unmeasured
	}
	o.identity = s.Identity
	if p.identityUsed {
		o.identity.Seed = 0
	}
	p.identityUsed = true
	o.identity = protocol.Identify(o.identity, p.role, s.Wire, position, s.Time)
	o.turn = p.answered
	o.quiet = s.First >= p.last+quiet
	o.pause = s.First >= p.last+pause
}

// invalid gives up on a head.
func (p *parser) invalid(st *stream, s *protocol.Segment) {
	if st.candidate {
		// It was a guess.
		st.sync(st.lost)
		return
	}
	p.host.Stats.Invalid++
	if st == &p.req {
		p.loseRequests(0)
	} else {
		p.loseResponses()
	}
	st.strict = true
	p.failed()
}

// Window implements protocol.Parser.
func (p *parser) Window() protocol.Window { return p.window }
