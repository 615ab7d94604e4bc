// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

const (
	// maxInFlight bounds the requests of one connection that wait for their
	// responses.
	maxInFlight = 1024
	// maxFree bounds the exchanges a parser keeps for reuse.
	maxFree = 64
	// quiet is a silence after which nothing is taken to be outstanding, ns.
	quiet = 1_000_000_000
	// pause is one after which that is taken to be so on a connection of which
	// nothing speaks against it: a client that keeps requests outstanding sends
	// the next one because a response came, not long after. ns.
	pause = 2_000_000
	// provenTurns is after how many turns the habit of a client to wait for
	// all responses before it sends more is trusted.
	provenTurns = 2
)

// suspicion that a client sends requests before earlier ones are answered.
type suspicion uint8

const (
	unsuspected suspicion = iota
	// suspected: a request came while another was unanswered. It may only
	// look so, when the response was lost.
	suspected
	confirmed
)

// pairing matches responses with requests, in order.
//
// While certain, the queue holds every request that is unanswered. Bytes that
// passed unseen may have held requests or responses; then certain is false, new
// requests are not begun, and the question is when nothing is outstanding any
// more. Clients nearly always send (a batch of) requests only after all earlier
// responses, so the first request of a new turn answers it, unless the
// connection has shown otherwise: interleaving (requests while others are
// unanswered), or pipelining by a client whose habit is not known yet. For
// those only silence is trusted. owed catches what this rule would get wrong:
// responses known to be missing for requests that were not begun.
type pairing struct {
	queue       []*slot // a ring; its length is a power of two
	front, size int
	free        []*slot

	certain bool
	// answered: there was response traffic since the last request's head.
	answered bool
	// dirty: since then bytes of requests passed that were not understood.
	dirty bool
	// pipelined: several requests were outstanding at once for certain.
	pipelined   bool
	interleaved suspicion
	// drained counts requests that began a turn with nothing outstanding.
	drained int
	// owed is how many responses are at least still to come for requests
	// that are not in the queue; negative while such responses came for
	// requests of which the loss is not yet known.
	owed int
	// orphan is the response without a request that came last.
	orphan orphan
}

// orphan is a response that came when no request was unanswered. On a client a
// send is reported when the call returns, and by then another thread may have
// read the response already: then the request follows, and began before.
type orphan struct {
	// n counts them since the last request; one can be attached.
	n int
	// head and end are the times of its first and last segment.
	head, end uint64
	certain   bool
	done      bool
	// endless: where it ends is not known, and so not its size.
	endless bool
	status  int
	coding  coding
	length  int64
}

func (o *orphan) finish(time uint64) {
	o.end = time
	o.done = true
}

// forget makes the orphan one that no request can be attached to. Its framing
// stays: its body may still come.
func (o *orphan) forget() { o.n, o.certain = 0, false }

func (p *parser) inFlight() int { return p.size }

// oldest is the exchange whose response is next, nil if there is none.
func (p *parser) oldest() *slot {
	if p.size == 0 {
		return nil
	}
	return p.queue[p.front]
}

func (p *parser) push(sl *slot) {
	if p.size == len(p.queue) {
		grown := make([]*slot, max(2, 2*len(p.queue)))
		for i := range p.size {
			grown[i] = p.queue[(p.front+i)&(len(p.queue)-1)]
		}
		p.queue, p.front = grown, 0
	}
	p.queue[(p.front+p.size)&(len(p.queue)-1)] = sl
	p.size++
}

// pop takes the oldest exchange out of the queue.
func (p *parser) pop() *slot {
	sl := p.queue[p.front]
	p.queue[p.front] = nil
	p.front = (p.front + 1) & (len(p.queue) - 1)
	p.size--
	if p.size == 0 && len(p.queue) > maxFree {
		p.queue, p.front = nil, 0
	}
	if p.resp.slot == sl {
		p.resp.slot = nil
	}
	if p.req.slot == sl {
		sl.d.RequestBody = p.req.size()
		p.req.slot = nil
	}
	return sl
}

// acquire is a new exchange for the request at p.origin.
func (p *parser) acquire(h *head) *slot {
	var sl *slot
	if n := len(p.free); n > 0 {
		sl = p.free[n-1]
		p.free = p.free[:n-1]
	} else {
		sl = new(slot)
		sl.x.Connection, sl.x.Detail = p.host.Connection, &sl.d
	}
	o := &p.origin
	x := &sl.x
	x.PID, x.TID, x.Role = o.pid, o.tid, p.role
	x.Start, x.End, x.Failure = o.first, 0, exchange.FailureNone
	x.Identity = o.identity
	x.Measured = exchange.Unmeasured
	x.Measured.QueueTime = o.queueTime
	if h.parents > 0 || h.others != nil || x.Remote.Valid {
		x.Remote = p.remote(h)
	}
	d := &sl.d
	d.Reset()
	d.Settings, d.Strings = p.settings, p.host.Strings
	d.RequestBody = 0
	d.Version = h.version
	d.Method = append(d.Method[:0], h.method...)
	d.TargetCut = len(h.target) > httpconv.MaxTarget
	d.Target = append(d.Target[:0], h.target[:min(len(h.target), httpconv.MaxTarget)]...)
	d.Host = append(d.Host[:0], h.host[:min(len(h.host), maxField)]...)
	d.UserAgent = append(d.UserAgent[:0], h.userAgent[:min(len(h.userAgent), maxField)]...)
	if p.lines != nil {
		p.tellRequest(d)
	}
	sl.head = string(h.method) == "HEAD"
	sl.connect = string(h.method) == "CONNECT"
	sl.expect, sl.continued, sl.final = h.expect, false, false
	return sl
}

func (p *parser) recycle(sl *slot) {
	if len(p.free) < maxFree {
		sl.x.InFlight, sl.x.Workload = nil, nil
		p.free = append(p.free, sl)
	}
}

// request acts on a request head.
func (p *parser) request(h *head, s *protocol.Segment) {
	o := &p.origin
	p.misses = 0
	p.unsent = false
	p.requests++
	if p.requests > 1 {
		p.pipelined = true
		p.widen()
	}
	if p.resp.state == stateEvidence && p.resp.slot != nil {
		if o.turn && p.interleaved == unsuspected {
			p.completeResponse(p.resp.last)
			p.resp.sync(true)
		} else {
			p.loseResponses()
		}
	}
	st := &p.req
	st.slot = nil
	complete := st.frame(h, true, false)
	switch {
	case p.orphan.n > 0 && p.orphan.certain && o.first <= p.orphan.head:
		p.adopt(h, complete)
	case p.admit() && p.room():
		sl := p.enqueue(h)
		if !complete {
			st.slot = sl
			st.want = sl.d.WantsRequest()
			if st.state == stateEvidence {
				sl.d.RequestBody = -1
			}
		}
	default:
		p.host.Stats.Unmatched++
		p.owed++
		p.orphan.forget()
	}
	p.answered = false
	if complete {
		st.boundary()
	}
	if st.state == stateEvidence {
		// More requests may follow unseen.
		if !h.cut {
			p.host.Stats.Invalid++
		}
		p.certain = false
	}
}

// enqueue begins the exchange of a request.
func (p *parser) enqueue(h *head) *slot {
	if p.origin.turn && p.resp.last > 0 {
		if p.size == 0 {
			p.drained++
		} else if p.interleaved == unsuspected {
			p.interleaved = suspected
		}
	}
	p.owed = 0
	p.orphan.forget()
	sl := p.acquire(h)
	p.push(sl)
	if p.size > 1 {
		p.widen()
	}
	p.host.Sink.Begin(&sl.x)
	return sl
}

// room reports whether one more request fits in the queue. If not, all of them
// are taken back: responses will come, but nobody will know them.
func (p *parser) room() bool {
	if p.size < maxInFlight {
		return true
	}
	p.host.Stats.Resyncs++
	p.host.Stats.Unmatched += uint64(p.size)
	p.owed = p.size
	p.abandonAll()
	p.pipelined, p.certain = true, false
	return false
}

// admit reports whether the response to a new request will be recognised.
func (p *parser) admit() bool {
	if p.certain {
		return true
	}
	if p.size > 0 || p.resp.exact() || p.origin.first <= p.orphan.head {
		return false // (the last: its response may have come before it)
	}
	if !p.origin.quiet {
		if !p.origin.turn || p.owed > 0 || p.interleaved != unsuspected || p.pipelined && (p.dirty || p.drained < provenTurns && !p.origin.pause) {
			return false
		}
	}
	p.certain = true
	return true
}

// exact reports whether the stream is known to be inside a message.
func (st *stream) exact() bool {
	switch st.state {
	case stateSync, stateEvidence, stateOrphan:
		return false
	case stateHead:
		return len(st.buf) > 0
	}
	return true
}

// adopt begins the exchange of a request whose response came before it.
func (p *parser) adopt(h *head, complete bool) {
	if p.orphan.n > 1 {
		// Only what is needed of the last one is kept.
		p.orphan.n--
		p.host.Stats.Unmatched++
		return
	}
	o := p.orphan
	p.host.Stats.Unmatched--
	p.certain = true
	sl := p.enqueue(h)
	if !complete {
		p.req.slot = sl
		p.req.want = sl.d.WantsRequest()
	}
	sl.d.Status, sl.d.ResponseBody, sl.final = o.status, 0, true
	if p.early != nil {
		sl.d.AdoptResponse(p.early)
	}
	rs := &p.resp
	if o.endless {
		sl.d.ResponseBody = -1
		p.end(sl, max(o.head, rs.last))
		return
	}
	if o.done {
		sl.d.ResponseBody = rs.size()
		p.end(sl, o.end)
		return
	}
	if rs.state == stateOrphan {
		rh := head{status: o.status, coding: o.coding, length: o.length}
		if rs.frame(&rh, false, bodiless(sl, o.status)) {
			p.end(sl, rs.last)
			rs.boundary()
			return
		}
		rs.want = undecided
	}
	rs.slot = sl
}

func bodiless(sl *slot, status int) bool {
	return sl != nil && sl.head || status < 200 || status == 204 || status == 304
}

// respond acts on a response head.
func (p *parser) respond(h *head, s *protocol.Segment) {
	sl := p.oldest()
	if h.status < 200 && h.status != 101 {
		// Interim responses (RFC 9110 section 15.2) end nothing.
		if h.cut {
			p.loseResponses()
			return
		}
		if sl != nil {
			sl.continued = true
		}
		p.resp.boundary()
		return
	}
	p.responses++
	if sl == nil {
		p.unmatched(h, s)
		return
	}
	if p.size > 1 {
		p.pipelined = true
		p.widen()
	}
	if p.interleaved == suspected {
		p.interleaved = confirmed
	}
	sl.d.Status, sl.d.ResponseBody = h.status, 0
	sl.final = true
	st := &p.resp
	if h.h2c && p.certain && p.size == 1 {
		// It is answered in HTTP/2 (RFC 7540 section 3.2).
		p.upgrade = &protocol.Upgrade{Protocol: "http2", Requests: p.direction, Request: &sl.x, Rest: -1}
		p.abandonFront()
		p.err = protocol.ErrUpgraded
		return
	}
	if h.status == 101 || sl.connect && h.status < 300 {
		// The connection is another protocol's from here on (RFC 9110
		// sections 15.2.2 and 9.3.6).
		p.end(sl, s.Time)
		p.err = protocol.ErrOpaque
		return
	}
	if p.lines != nil {
		p.tellResponse(&sl.d)
	}
	st.slot = sl
	if st.frame(h, false, bodiless(sl, h.status)) {
		p.completeResponse(s.Time)
		st.boundary()
		return
	}
	st.want = undecided
	if st.state == stateEvidence {
		if !h.cut {
			p.host.Stats.Invalid++
		}
		if p.size > 1 {
			p.loseResponses()
		}
	}
}

// unmatched acts on a response that no request waits for.
func (p *parser) unmatched(h *head, s *protocol.Segment) {
	p.host.Stats.Unmatched++
	if p.responses > 1 {
		p.pipelined = true
		p.widen()
	}
	if h.status == 101 {
		p.err = protocol.ErrOpaque
		return
	}
	if p.req.state == stateHead && len(p.req.buf) > 0 {
		// It answers the request whose head is not complete.
		p.loseRequests(1)
	}
	o := &p.orphan
	*o = orphan{
		n: o.n + 1, head: s.Time, certain: p.certain || o.certain,
		status: h.status, coding: h.coding, length: h.length, endless: h.cut,
	}
	p.tellOrphan()
	p.owed--
	p.certain = false
	st := &p.resp
	st.body, st.unknown = 0, false
	st.slot = nil
	if bodiless(nil, h.status) && !h.cut || h.coding == codingNone && h.length == 0 {
		o.finish(s.Time)
		st.boundary()
		return
	}
	st.state = stateOrphan
}

// resolveOrphan decides, by the bytes behind its head, whether a response
// without a request has a body: it has none if the request was HEAD.
func (p *parser) resolveOrphan(b []byte) {
	st, o := &p.resp, &p.orphan
	h := head{status: o.status, coding: o.coding, length: o.length, cut: o.endless}
	if matchStatusLine(b) != no {
		o.finish(st.last)
		st.state, st.candidate = stateHead, true
		return
	}
	switch {
	case st.frame(&h, false, false):
		st.boundary()
	case st.state == stateEvidence || st.state == stateUntilClose:
		o.endless = true
		st.sync(false)
	}
}

// completeResponse ends the oldest exchange, whose response is in progress.
func (p *parser) completeResponse(time uint64) {
	sl := p.resp.slot
	sl.d.ResponseBody = p.resp.size()
	p.end(sl, time)
}

// end reports the oldest exchange as answered.
func (p *parser) end(sl *slot, time uint64) {
	p.unsent = p.req.slot == sl && sl.expect && !sl.continued && p.req.body == 0 && sl.d.Status >= 300
	p.failures = 0
	p.proven = true
	if p.settled < settledExchanges {
		if p.settled++; p.settled == settledExchanges {
			p.grow()
		}
	}
	p.finish(time, exchange.FailureNone)
}

// finish reports the oldest exchange.
func (p *parser) finish(time uint64, failure exchange.Failure) {
	sl := p.pop()
	sl.x.End = max(time, sl.x.Start)
	sl.x.Failure = failure
	queueTime := sl.x.Measured.QueueTime
	sl.x.Measured = p.measured
	sl.x.Measured.QueueTime = queueTime
	p.host.Sink.End(&sl.x)
	p.recycle(sl)
}

// abandonFront takes the oldest exchange back.
func (p *parser) abandonFront() {
	sl := p.pop()
	p.host.Sink.Abandon(&sl.x)
	p.recycle(sl)
}

func (p *parser) abandonAll() {
	for p.size > 0 {
		p.abandonFront()
	}
}

// loseRequests forgets where requests begin; at least hidden of them passed
// unseen. Those in the queue came before and keep their places.
func (p *parser) loseRequests(hidden int) {
	p.certain, p.orphan.certain = false, false
	p.owed += hidden
	p.req.sync(true)
}

// loseResponses forgets where responses begin, and so which requests are
// answered.
func (p *parser) loseResponses() {
	if p.size > 1 && p.drained < provenTurns {
		p.pipelined = true
	}
	p.settleInterleaving()
	p.host.Stats.Unmatched += uint64(p.size)
	p.abandonAll()
	p.certain = false
	p.owed = 0
	p.orphan.forget()
	p.resp.sync(true)
}

// settleInterleaving decides about a suspicion when responses were lost: they
// explain it, if the client has always waited before.
func (p *parser) settleInterleaving() {
	if p.interleaved != suspected {
		return
	}
	p.interleaved = confirmed
	if p.drained >= provenTurns {
		p.interleaved = unsuspected
	}
}
