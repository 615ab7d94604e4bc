// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"encoding/binary"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/inflight"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// maxInFlight bounds the calls of a connection.
	maxInFlight = 1024
	// maxStrikes is how many times in a row the bytes may not fit.
	maxStrikes = 4
	// maxRaw bounds tokens of SASL that are sent without a request around them.
	maxRaw = 64 << 10
)

// parser is one connection.
type parser struct {
	host      protocol.Host
	shared    *kafka
	direction protocol.Direction // of requests
	role      exchange.Role
	closed    bool
	err       error

	requests, responses side
	last                protocol.Direction
	started             bool
	now                 uint64 // of the segment
	measured            exchange.Measured

	calls      inflight.Queue[call]
	operations int
	free       []*operation
	scratch    []byte

	// client is the client id of the last request.
	client string
	// proven: a response has answered a request.
	proven  bool
	strikes int
	// hidden: responses may have passed unseen, up to a time.
	hidden   bool
	hiddenAt uint64
	// raw: tokens of SASL may come without a request around them.
	raw     bool
	orphans [maxOrphans]orphan
	ends    protocol.Ends

	about   about
	held    held
	window  protocol.Window
	traffic traffic
}

// about is what the response that is being decoded has got to.
type about struct {
	// topic has begun; it has an id, or a name.
	topic, hasID bool
	name         string
	id           topicID
	partition    int32
	counted      bool // the partition, in its operation
}

// side is one direction of a connection.
type side struct {
	stream stream.Stream
	// synced: the position is at a message's beginning, or in one. candidate: it is
	// where a message may begin, if the bytes to come agree.
	synced, candidate bool
	inMessage         bool
	decoding          bool
	remaining         uint64 // of the message
	decoder           decoder
	call              *call   // nil: the message is passed over
	orphan            *orphan // the response is one
}

func newParser(k *kafka, host protocol.Host, requests protocol.Direction) *parser {
	p := &parser{host: host, shared: k, direction: requests, role: host.Role(requests), window: protocol.Window{Sent: fullWindow, Received: fullWindow, After: denseAfter}}
	p.requests.decoder.on = (*requestVisitor)(p)
	p.responses.decoder.on = (*responseVisitor)(p)
	p.requests.synced = true
	p.measured = exchange.Unmeasured
	return p
}

// Window implements protocol.Parser.
func (p *parser) Window() protocol.Window { return p.window }

// Segment implements protocol.Parser.
func (p *parser) Segment(s *protocol.Segment) error {
	if p.err != nil || p.closed {
		return p.err
	}
	turn := !p.started || s.Dir != p.last
	p.last, p.started, p.now = s.Dir, true, s.Time
	if s.Dir == p.direction {
		p.requests.stream.Feed(s, turn)
		for p.request() {
		}
		p.requests.stream.Keep()
	} else {
		p.measured = s.Measured
		p.learn(s)
		looking := p.responses.looking()
		p.responses.stream.Feed(s, turn)
		for p.response(s) {
		}
		if looking && (s.Lost > 0 || p.responses.looking()) {
			p.hidden, p.hiddenAt = true, p.now
		}
		p.responses.stream.Keep()
	}
	p.adapt()
	if len(p.held.operations) > 0 {
		p.unhold(s.Time)
	}
	if p.err != nil {
		p.abandonAll()
	}
	return p.err
}

// learn takes over what the kernel knows of a request by now.
func (p *parser) learn(s *protocol.Segment) {
	if s.Identity.Peer == 0 {
		return
	}
	for i := range p.calls.Len() {
		c := p.calls.At(i)
		if !c.gone && s.Identity.Peer == c.operations[0].x.Identity.Seed {
			for _, o := range c.operations {
				o.x.Identity.Learn(&s.Identity)
			}
			return
		}
	}
}

// miss forgets where messages of a side begin: at a segment to come.
func (p *parser) miss(sd *side) {
	p.host.Stats.Resyncs++
	sd.synced, sd.candidate, sd.inMessage = false, false, false
	sd.stream.Clear()
	if sd == &p.requests {
		if c := sd.call; c != nil {
			p.lose(sd)
			p.requested(c)
		}
		return
	}
	p.hidden, p.hiddenAt = true, p.now
	if c := sd.call; c != nil {
		p.abandon(c)
	}
	sd.orphan = nil
}

// wrong is miss for bytes that are not what they should be.
func (p *parser) wrong(sd *side) {
	p.host.Stats.Invalid++
	if p.strikes++; p.strikes >= maxStrikes {
		p.err = protocol.ErrMismatch
	}
	p.miss(sd)
}

// await reports whether the next n bytes of a side are there: if not, because they are
// to come, or because they passed unseen.
func (p *parser) await(sd *side, n int) ([]byte, bool) {
	b, st := sd.stream.Peek(n)
	switch {
	case st == stream.Ready:
		return b, true
	case st == stream.Hole && sd.synced:
		p.miss(sd)
	case st == stream.Hole:
		sd.candidate = false
		sd.stream.Clear()
	}
	return nil, false
}

// looking reports whether it is not known where messages begin.
func (sd *side) looking() bool { return !sd.synced && !sd.candidate }

// find looks for the beginning of a message where it is not known: only a segment's
// beginning can be it.
func (sd *side) find() bool {
	if sd.synced || sd.candidate {
		return true
	}
	if len(sd.stream.Available()) > 0 && sd.stream.AtSegment() {
		sd.candidate = true
		return true
	}
	sd.stream.Clear()
	return false
}

// begin starts a message of so many bytes after its head, which is consumed.
func (sd *side) begin(head int, remaining uint64) {
	sd.stream.Discard(uint64(head))
	sd.synced, sd.candidate = true, false
	sd.inMessage, sd.decoding = true, false
	sd.remaining = remaining
	sd.call, sd.orphan = nil, nil
}

// decode makes the message be decoded.
func (sd *side) decode(c *call, l layout) {
	sd.call = c
	sd.decoding = true
	sd.decoder.reset(l)
}

// pass goes on in a message, and reports whether all of it has passed.
func (p *parser) pass(sd *side) bool {
	t := &sd.stream
	for sd.decoding {
		b := t.Available()
		if uint64(len(b)) > sd.remaining {
			b = b[:sd.remaining]
		}
		n, st := sd.decoder.run(b, sd.remaining)
		whole := uint64(len(b)) == sd.remaining
		if n > sd.remaining {
			n, st = sd.remaining, invalid
		}
		missing := st == short && n <= uint64(len(b))
		t.Discard(n)
		sd.remaining -= n
		switch {
		case st == done:
			sd.decoding = false
		case st == invalid || missing && whole:
			p.host.Stats.Invalid++
			p.lose(sd)
		case !missing: // passed over more than there was
		case t.HoleAhead():
			skip, ok := sd.decoder.escape()
			if !ok {
				p.lose(sd)
				break
			}
			skip = min(skip, sd.remaining)
			t.Discard(skip)
			sd.remaining -= skip
		default:
			return false
		}
	}
	t.Discard(sd.remaining)
	sd.remaining = 0
	return t.Ahead() == 0
}

// lose gives up the details of a message of which a part is missing.
func (p *parser) lose(sd *side) {
	sd.decoding = false
	c := sd.call
	if c == nil {
		return
	}
	if sd == &p.requests {
		c.lostRequest = true
		if c.isFetch() {
			return
		}
	} else {
		c.lostResponse = true
		if !c.isFetch() {
			if c.lostRequest && c.current != nil {
				c.current.partial = true
			}
			return
		}
	}
	o := c.current
	if o == nil {
		o = c.operations[0]
	}
	o.uncounted, o.partial = true, true
}

// request handles the next piece of a request; it reports whether there may be more.
func (p *parser) request() bool {
	sd := &p.requests
	if !sd.inMessage {
		if !sd.find() || !p.requestHead() {
			return p.err == nil && sd.inMessage
		}
	}
	if !p.pass(sd) {
		return false
	}
	sd.inMessage = false
	if c := sd.call; c != nil {
		p.requested(c)
	}
	return true
}

// requestHead reads a request's head.
func (p *parser) requestHead() bool {
	sd := &p.requests
	b, ok := p.await(sd, 4)
	if !ok {
		return false
	}
	size := binary.BigEndian.Uint32(b)
	if p.raw && (size == 0 || size < leastRequest) {
		sd.begin(4, uint64(size))
		return true
	}
	if size < leastRequest || size > maxRequest {
		return p.reject(sd, size)
	}
	if b, ok = p.await(sd, 14); !ok {
		return false
	}
	h := parseHead(b)
	if !h.valid() {
		return p.reject(sd, size)
	}
	n := 14 + max(int(h.client), 0)
	if h.headless() {
		n = 12
	}
	if b, ok = p.await(sd, n); !ok {
		return false
	}
	client := b[min(14, n):n]
	if !printable(client) || sd.candidate && !p.familiar(client) {
		return p.reject(sd, size)
	}
	if string(client) != p.client {
		p.client = p.host.Strings.String(client)
	}
	origin := sd.stream.Begin(p.role)
	p.traffic.note(uint64(size))
	sd.begin(n, uint64(size)+4-uint64(n))
	p.begin(&h, &origin)
	return true
}

// familiar reports whether a client id is that of the connection.
func (p *parser) familiar(client []byte) bool {
	if p.client == "" {
		return len(client) > 0
	}
	return string(client) == p.client
}

// reject handles what is no request, or no response.
func (p *parser) reject(sd *side, size uint32) bool {
	switch {
	case sd.candidate:
		sd.candidate = false
		sd.stream.Clear()
		if sd == &p.responses {
			p.hidden, p.hiddenAt = true, p.now
		}
	case p.raw && size <= maxRaw:
		sd.begin(4, uint64(size))
		return true
	default:
		p.wrong(sd)
	}
	return false
}

// begin makes the call of a request.
func (p *parser) begin(h *requestHead, origin *stream.Origin) {
	if p.calls.Len() >= maxInFlight || p.operations >= maxOperations {
		p.host.Stats.Unmatched++
		return
	}
	c := p.calls.Acquire()
	if c == nil {
		c = new(call)
	}
	c.reset()
	c.id, c.key, c.version = h.id, h.key, h.version
	c.origin = *origin
	c.client = p.client
	p.calls.Push(c)
	p.operation(c)
	sd := &p.requests
	sd.call = c
	if known(h.key, h.version) {
		sd.decode(c, requestLayouts[h.key][h.version])
	} else {
		p.lose(sd)
	}
	p.adopt(c)
}

// requested acts on a request that has passed.
func (p *parser) requested(c *call) {
	p.requests.call = nil
	c.complete = true
	switch {
	case c.gone:
	case c.silent:
		c.measured = c.origin.Measured
		p.end(c, p.now, exchange.FailureNone)
	case c.answered:
		p.end(c, c.end, exchange.FailureNone)
	}
}

// response handles the next piece of a response; it reports whether there may be more.
func (p *parser) response(s *protocol.Segment) bool {
	sd := &p.responses
	if !sd.inMessage {
		if !p.findResponse() || !p.responseHead() {
			return p.err == nil && sd.inMessage
		}
	}
	if !p.pass(sd) {
		return false
	}
	sd.inMessage = false
	if o := sd.orphan; o != nil {
		o.done, o.end, o.measured = true, p.now, p.measured
	}
	if c := sd.call; c != nil {
		sd.call = nil
		p.answered(c, p.now, &p.measured)
	}
	return true
}

// findResponse is find; the first byte of the connection begins a message.
func (p *parser) findResponse() bool {
	sd := &p.responses
	if !sd.synced && sd.stream.Offset() == 0 && !p.proven {
		sd.candidate = true
	}
	return sd.find()
}

// answered acts on a response that has passed.
func (p *parser) answered(c *call, time uint64, m *exchange.Measured) {
	p.strikes = 0
	c.answered, c.end, c.measured = true, time, *m
	if c.key == apiSaslHandshake && c.operations[0].code == 0 {
		p.raw = c.version == 0
	} else if c.key != apiVersions {
		p.raw = false
	}
	if c.complete {
		p.end(c, time, exchange.FailureNone)
	}
}

// leastResponse and maxResponse bound the size of responses.
const (
	leastResponse = 4
	maxResponse   = 1 << 30
)

// responseHead reads a response's head.
func (p *parser) responseHead() bool {
	sd := &p.responses
	b, ok := p.await(sd, 4)
	if !ok {
		return false
	}
	size := binary.BigEndian.Uint32(b)
	if p.raw && size < leastResponse {
		sd.begin(4, uint64(size))
		return true
	}
	if size < leastResponse || size > maxResponse {
		return p.reject(sd, size)
	}
	if b, ok = p.await(sd, 8); !ok {
		return false
	}
	id := int32(binary.BigEndian.Uint32(b[4:]))
	c := p.match(id)
	if c == nil {
		if sd.candidate && (p.proven || uint64(len(sd.stream.Available())) != 4+uint64(size)) {
			return p.reject(sd, size)
		}
		p.orphaned(id, size)
		return true
	}
	p.proven = true
	p.traffic.note(uint64(size))
	sd.begin(8, uint64(size)-4)
	sd.call = c
	c.current, p.about = nil, about{}
	if known(c.key, c.version) {
		sd.decode(c, responseLayouts[c.key][c.version])
	} else {
		p.lose(sd)
	}
	return true
}

// match is the call that a response answers. Brokers answer in the order of the requests,
// so what came before it and whose response may have been missed is given up.
func (p *parser) match(id int32) *call {
	for i := range p.calls.Len() {
		c := p.calls.At(i)
		if c.gone || c.answered || c.id != id {
			continue
		}
		if i > 0 {
			p.skip(i)
		}
		if p.hidden && c.origin.First >= p.hiddenAt {
			p.hidden = false
		}
		return c
	}
	return nil
}

// skip gives up those of the first n calls whose responses must have been missed, or that
// may have none.
func (p *parser) skip(n int) {
	var missed [8]*call
	for {
		found := 0
		for i := 0; i < min(n, p.calls.Len()) && found < len(missed); i++ {
			c := p.calls.At(i)
			if !c.gone && !c.answered && (p.hidden || c.lostRequest && c.key == apiProduce && c.acks == unknown) {
				missed[found] = c
				found++
			}
		}
		for _, c := range missed[:found] {
			p.host.Stats.Unmatched++
			before := p.calls.Len()
			p.abandon(c)
			n -= before - p.calls.Len()
		}
		if found < len(missed) {
			return
		}
	}
}

func (p *parser) abandonAll() {
	for c := p.calls.Front(); c != nil; c = p.calls.Front() {
		p.host.Stats.Unmatched++
		p.abandon(c)
	}
}
