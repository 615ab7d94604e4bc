// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/rpcconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/tracecontext"
)

// headers acts on a HEADERS frame with payload b.
func (p *parser) headers(d *direction, f *frame, b []byte, request bool) {
	fragment, ok := f.fragment(b)
	if !ok {
		p.invalid(d, request)
		return
	}
	var from stream.Origin
	if request {
		from = p.originOf(d, f)
	}
	if f.flags&flagEndHeaders == 0 {
		d.block.open, d.block.skip, d.block.head, d.block.from = true, false, *f, from
		d.block.bytes = append(d.block.bytes[:0], fragment...)
		d.bytes.Discard(frameHead + uint64(f.length))
		return
	}
	p.section(d, f, fragment, &from, request)
	d.bytes.Discard(frameHead + uint64(f.length))
}

// originOf is where the request began whose HEADERS frame is at the position; nobody
// asks for that of trailers.
func (p *parser) originOf(d *direction, f *frame) stream.Origin {
	if f.stream <= p.newest && p.find(f.stream) != nil && p.find(f.stream).requested {
		return stream.Origin{}
	}
	return d.bytes.Begin(p.role)
}

// continued acts on a CONTINUATION frame.
func (p *parser) continued(d *direction, f *frame, b []byte, request bool) {
	k := &d.block
	if !k.skip {
		if len(k.bytes)+len(b) > maxBlock {
			p.skipBlock(d, f, request)
			return
		}
		k.bytes = append(k.bytes, b...)
	}
	if f.flags&flagEndHeaders != 0 {
		k.open = false
		switch {
		case k.skip:
		case k.head.kind == frameHeaders:
			p.section(d, &k.head, k.bytes, &k.from, request)
		default:
			p.pushed(d, k.bytes)
		}
		if cap(k.bytes) > keepBlock {
			k.bytes = nil
		}
	}
	d.bytes.Discard(frameHead + uint64(f.length))
}

// promised acts on a PUSH_PROMISE frame. What is pushed was not asked for: it makes no
// span, but its header sections count for the dynamic table.
func (p *parser) promised(d *direction, f *frame, b []byte) {
	fragment, ok := f.fragment(b)
	if !ok {
		p.invalid(d, false)
		return
	}
	if f.flags&flagEndHeaders == 0 {
		d.block.open, d.block.skip, d.block.head = true, false, *f
		d.block.bytes = append(d.block.bytes[:0], fragment...)
	} else {
		p.pushed(d, fragment)
	}
	d.bytes.Discard(frameHead + uint64(f.length))
}

func (p *parser) pushed(d *direction, b []byte) {
	p.distrust(d, nil, false)
	p.header.reset()
	if !d.hpack.decode(b, &p.header) {
		p.garbled(d)
	}
}

// section acts on a complete header section.
func (p *parser) section(d *direction, f *frame, b []byte, from *stream.Origin, request bool) {
	c := p.find(f.stream)
	if request {
		p.trustRequests(d, f.stream)
	} else {
		p.distrust(d, c, f.flags&flagEndStream != 0)
	}
	h := &p.header
	h.reset()
	if !d.hpack.decode(b, h) {
		p.garbled(d)
		p.strays = true
		if c != nil {
			p.abandon(c)
		} else if request && f.stream > p.newest {
			p.newest = f.stream
			p.host.Stats.Unmatched++
		}
		return
	}
	end := f.flags&flagEndStream != 0
	if request {
		p.request(c, f.stream, h, from, end)
	} else {
		p.response(c, f.stream, h, end)
	}
}

// request acts on the header section of a request, or its trailers.
func (p *parser) request(c *call, id uint32, h *header, from *stream.Origin, end bool) {
	if c != nil && c.requested && end {
		c.sent = true
	}
	if c != nil && c.requested || id <= p.newest && c == nil || id%2 == 0 {
		return // trailers, or of a call that is over
	}
	p.newest = max(p.newest, id)
	p.forgetOrphans(id)
	connect := string(h.method) == "CONNECT"
	if len(h.method) == 0 || len(h.path) == 0 && !(connect && len(h.authority) > 0) {
		p.host.Stats.Unmatched++
		p.strays = true
		if c != nil {
			p.drop(c)
		}
		return
	}
	if c == nil {
		if c = p.open(id); c == nil {
			return
		}
	}
	c.requested, c.sent = true, end
	x := &c.x
	x.PID, x.TID, x.Role = from.PID, from.TID, p.role
	x.Start, x.End = from.First, 0
	x.Measured = exchange.Unmeasured
	x.Measured.QueueTime = from.Measured.QueueTime
	p.identify(c, from)
	p.remote(h, &x.Remote)
	c.shared = len(p.calls) > 1
	if c.shared {
		for _, other := range p.calls {
			other.shared = true
		}
	}

	d := &c.http
	d.Reset()
	d.Version = httpconv.Version2
	d.Secure = string(h.scheme) == "https"
	d.Method = append(d.Method[:0], h.method...)
	d.Host = append(d.Host[:0], h.authority...)
	if len(h.authority) == 0 {
		d.Host = append(d.Host, h.host...)
	}
	d.Target = append(d.Target[:0], h.path...)
	d.TargetCut = h.pathCut
	d.UserAgent = append(d.UserAgent[:0], h.userAgent...)
	if httpconv.IsGraphQL(h.contentType) {
		d.RequestField(httpconv.FieldContentType, h.contentType)
	}
	for i := range h.telling {
		d.RequestField(h.telling[i].field, h.telling[i].value)
	}
	if c.early != nil {
		d.AdoptResponse(c.early)
	}
	c.rpc.Reset()
	c.timeout = parseTimeout(h.grpcTimeout)
	c.timeless = h.grpcTimeout == nil && h.unknown > 0
	if connect {
		// A tunnel, or a WebSocket (RFC 8441): the request is over when it is
		// answered.
		c.tunnel = true
		if len(h.path) == 0 {
			d.Target = append(d.Target, h.authority...)
		}
		d.Connect = p.host.Strings.String(h.protocol)
	}
	switch r := rpcOf(h.contentType); {
	case r == rpcGRPC && !connect:
		p.classify(c, classGRPC)
	case (r == rpcWeb || r == rpcWebText) && !connect:
		p.classify(c, classWeb)
	case h.contentType != nil || h.unknown == 0 || connect:
		p.classify(c, classHTTP)
	}
	if c.class == classHTTP || c.class == classUnknown {
		c.wants.request = d.WantsRequest()
	}
	if c.over {
		p.finish(c, c.end, exchange.FailureNone)
	}
}

// forgetOrphans gives up responses to requests that did not come: streams are opened
// in ascending order.
func (p *parser) forgetOrphans(before uint32) {
	for i := 0; i < len(p.calls) && p.calls[i].id < before; {
		if c := p.calls[i]; !c.requested {
			p.host.Stats.Unmatched++
			p.drop(c)
			continue
		}
		i++
	}
}

// remote is the trace context carried in a request.
func (p *parser) remote(h *header, r *exchange.Remote) {
	*r = exchange.Remote{}
	if h.parents != 1 || !tracecontext.ParseTraceparent(h.parent, r) {
		*r = exchange.Remote{}
		if h.hasOthers {
			*r = h.others.Remote()
		}
		return
	}
	r.Valid = true
	if len(h.state) > 0 {
		if string(h.state) != p.state {
			p.state = string(h.state)
		}
		r.State = p.state
	}
}

// response acts on the header section of a response, or its trailers.
func (p *parser) response(c *call, id uint32, h *header, end bool) {
	if id%2 == 0 {
		return // pushed
	}
	if c == nil {
		if id <= p.newest {
			return // of a request that was not understood, or is over
		}
		if p.role != exchange.RoleClient || h.status >= 100 && h.status < 200 {
			if h.status != 0 {
				p.host.Stats.Unmatched++
			}
			return
		}
		// A client's send is told of when the call returns: another thread may have
		// read the response by then.
		if c = p.open(id); c == nil {
			return
		}
	}
	c.doubtful = false
	p.dirs[p.requests.Other()].unproven = false
	if h.status >= 100 && h.status < 200 {
		return // interim
	}
	if !c.responded && (h.status != 0 || h.unknown > 0 && len(h.grpcStatus) == 0) {
		c.responded = true
		c.status = h.status
		if h.status == 0 {
			c.opaque = true
		}
		if r := rpcOf(h.contentType); r != rpcNone && c.class == classUnknown && c.requested {
			p.classify(c, map[rpc]class{rpcGRPC: classGRPC, rpcWeb: classWeb, rpcWebText: classWeb}[r])
		}
		if c.requested {
			c.tell(h)
		} else if len(h.telling) > 0 {
			c.early = &httpconv.Detail{Settings: p.options.Settings, Strings: p.host.Strings}
			for i := range h.telling {
				c.early.ResponseField(h.telling[i].field, h.telling[i].value)
			}
		}
		if h.contentType == nil && h.unknown > 0 && c.class == classUnknown {
			c.opaque = true
		}
		c.web.begin(rpcOf(h.contentType))
	}
	if len(h.grpcStatus) > 0 {
		c.code = rpcconv.ParseCode(h.grpcStatus)
	} else if end && h.unknown > 0 {
		c.opaque = true
	}
	if c.tunnel && c.status >= 200 && c.status < 300 {
		p.finish(c, p.time, exchange.FailureNone)
		return
	}
	if end {
		p.ended(id)
	}
}

// tell keeps what a response tells of an application.
func (c *call) tell(h *header) {
	d := &c.http
	for i := range h.telling {
		d.ResponseField(h.telling[i].field, h.telling[i].value)
	}
	if len(h.contentType) > 0 && d.WantsType() {
		d.ResponseField(httpconv.FieldContentType, h.contentType)
	}
	if c.class == classHTTP || c.class == classUnknown {
		c.wants.response = d.WantsResponse()
	}
}

// wanted is how many bytes at the beginning of a DATA frame's payload are wanted.
func (c *call) wanted(f *frame, request bool) int {
	n := c.wants.response
	if request {
		n = c.wants.request
	}
	if n == 0 || f.flags&flagPadded != 0 {
		return 0
	}
	return min(n, int(f.length))
}

// take gives the beginning of a body to who wants it. size is that of the frame; b what
// was seen of it.
func (c *call) take(b []byte, size int64, request bool) {
	n := &c.wants.response
	if request {
		n = &c.wants.request
	}
	if *n == 0 {
		return
	}
	b = b[:min(len(b), *n)]
	switch {
	case len(b) == 0 && size == 0:
	case len(b) == 0 || int64(len(b)) < min(size, int64(*n)):
		*n = 0 // what comes behind a hole is no beginning
	case request:
		*n = c.http.TakeRequest(b)
	default:
		*n = c.http.TakeResponse(b)
	}
}

// data acts on a DATA frame. b is its payload as far as it is needed; nil if it was
// not seen.
func (p *parser) data(d *direction, f *frame, b []byte, request bool) {
	c := p.find(f.stream)
	if c == nil {
		return
	}
	size := int64(f.length)
	if f.flags&flagPadded != 0 {
		if len(b) == 0 {
			size = -1
		} else if size -= int64(b[0]) + 1; size < 0 {
			return // a connection error (RFC 9113 section 6.1)
		}
	}
	if c.wants.request > 0 || c.wants.response > 0 {
		if c.wanted(f, request) == 0 {
			b = nil
		}
		c.take(b, size, request)
	}
	body := &c.responseBody
	if request {
		body = &c.requestBody
	} else if c.responded {
		c.doubtful = false
	}
	switch {
	case size < 0:
		*body = -1
	case *body >= 0:
		*body += size
	}
	if !request && c.class == classWeb && c.code == rpcconv.NoCode {
		if f.flags&flagPadded != 0 && len(b) > 0 {
			b = b[1:]
		}
		c.code = c.web.feed(b, size)
	}
	if f.flags&flagEndStream != 0 {
		if request {
			c.sent = true
		} else {
			d.ending = f.stream
		}
	}
}

// ended: the response on a stream is complete.
func (p *parser) ended(id uint32) {
	if c := p.find(id); c != nil && !c.over {
		p.finish(c, p.time, exchange.FailureNone)
	}
}

// reset acts on RST_STREAM, which either side may send.
func (p *parser) reset(f *frame, code uint32, request bool) {
	c := p.find(f.stream)
	if c == nil {
		return
	}
	if !c.requested {
		p.drop(c)
		return
	}
	c.failed = codeName(code)
	if c.class == classUnknown {
		p.abandon(c)
		return
	}
	if c.class == classGRPC || c.class == classWeb {
		c.code = rpcconv.CodeOfReset(code)
		if code == codeCancel && c.timeless {
			p.abandon(c)
			return
		}
		slack := uint64(0)
		if request {
			slack = timeoutSlack + c.timeout/timeoutRounding
		}
		if code == codeCancel && c.timeout > 0 && p.time-min(c.x.Start, p.time)+slack >= c.timeout {
			c.code = rpcconv.DeadlineExceeded
		}
	}
	p.finish(c, p.time, exchange.FailureNone)
}

// timeoutSlack is how much earlier than its timeout a call may seem to end that its
// client has cancelled because of it: its clock starts before the request is seen, and
// grpc-timeout may be rounded up: gRPC's C core sends two to three digits, so by a
// hundredth at most. ns.
const (
	timeoutSlack    = 2e6
	timeoutRounding = 100
)

// goAway acts on GOAWAY: streams of the other side above last were not processed and
// will not be (RFC 9113 section 6.8).
func (p *parser) goAway(last uint32, request bool) {
	if request {
		return // about streams of the server
	}
	for i := len(p.calls) - 1; i >= 0 && p.calls[i].id > last; i-- {
		c := p.calls[i]
		switch {
		case !c.requested:
			p.drop(c)
		case p.role != exchange.RoleClient || c.class == classUnknown:
			p.abandon(c)
		default:
			c.failed, c.code = codeName(codeRefusedStream), rpcconv.Unavailable
			p.finish(c, p.time, exchange.FailureNone)
		}
	}
}

// observe keeps what the kernel tells with a response.
func (p *parser) observe(s *protocol.Segment) {
	p.measured = s.Measured
	if s.Identity.Peer == 0 {
		return
	}
	for _, c := range p.calls {
		if c.kernel == s.Identity.Peer {
			if c.adopted {
				c.x.Identity.Learn(&s.Identity)
			}
			return
		}
	}
}

// webBody looks for the trailers of a gRPC-Web response, which are at the end of its
// body: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md.
type webBody struct {
	kind rpc
	lost bool
	head [5]byte
	have int    // of head
	left uint32 // of the message
	text []byte // of the trailers
}

// maxTrailers bounds the trailers that are kept, in bytes.
const maxTrailers = 1 << 10

func (w *webBody) begin(kind rpc) { *w = webBody{kind: kind, text: w.text[:0], lost: kind != rpcWeb} }

// feed takes the next size bytes of the body; b are those that were seen. It returns
// the status, once that was there.
func (w *webBody) feed(b []byte, size int64) rpcconv.Code {
	if size < 0 || int64(len(b)) < size {
		w.lost = true
	}
	if w.lost {
		return rpcconv.NoCode
	}
	b = b[:size]
	for len(b) > 0 {
		if w.have < len(w.head) {
			w.head[w.have] = b[0]
			b = b[1:]
			if w.have++; w.have == len(w.head) {
				w.left = be32(w.head[1:])
				w.text = w.text[:0]
			} else {
				continue
			}
		}
		n := min(uint64(len(b)), uint64(w.left))
		if w.head[0]&0x80 != 0 {
			w.text = append(w.text, b[:min(int(n), maxTrailers-len(w.text))]...)
		}
		b = b[n:]
		if w.left -= uint32(n); w.left == 0 {
			w.have = 0
			if w.head[0]&0x80 != 0 {
				return webStatus(w.text)
			}
		}
	}
	return rpcconv.NoCode
}

// webStatus finds grpc-status in lines as HTTP/1 has them.
func webStatus(b []byte) rpcconv.Code {
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if ok && bytes.EqualFold(bytes.TrimSpace(name), []byte("grpc-status")) {
			return rpcconv.ParseCode(bytes.TrimSpace(value))
		}
	}
	return rpcconv.NoCode
}
