// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"sort"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/rpcconv"
)

const (
	// maxCalls bounds the streams of one connection that are in flight. Servers allow
	// 100 to 250 as a rule.
	maxCalls = 1024
	// maxFree bounds the exchanges a parser keeps for reuse.
	maxFree = 128
)

// class is what a call is reported as.
type class uint8

const (
	// classUnknown: it depends on fields that are not known yet.
	classUnknown class = iota
	classHTTP
	classGRPC
	classWeb
	// classNone: it is not reported, because that is switched off.
	classNone
)

// call is one stream that carries a request: an exchange.
type call struct {
	id    uint32
	class class
	x     exchange.Exchange
	http  httpconv.Detail
	rpc   rpcconv.Detail

	progress
}

// progress is what a call starts anew with when its memory is used again.
type progress struct {
	// requested: the head of the request was understood; begun: the Sink knows of
	// the exchange.
	requested, begun bool
	// sent: the request is complete.
	sent bool
	// tunnel: CONNECT, which is over with the head of its response.
	tunnel bool
	// responded: the response's head was seen (1xx aside).
	responded bool
	// opaque: fields of the response that matter may have been there, but are not
	// known.
	opaque bool
	// doubtful: bytes of the response were lost since it was heard of last.
	doubtful bool
	// shared: other calls were in flight at the same time.
	shared bool
	// over: an orphan whose response is complete, at end.
	over bool
	end  uint64
	// kernel is the kernel's identity of the request; 0 if it has none.
	kernel uint64
	// adopted: the parent that the kernel found for the server's end is believed.
	adopted bool

	status                    int
	code                      rpcconv.Code
	failed                    string // error.type of a stream that was reset
	timeout                   uint64 // grpc-timeout, ns
	timeless                  bool   // whether it has one is not known
	requestBody, responseBody int64  // -1: not known
	// wants is how many of the next bytes of the bodies are wanted.
	wants struct{ request, response int }
	// early is what a response told that came before its request.
	early *httpconv.Detail
	web   webBody
}

// find is the call on a stream, nil if there is none.
func (p *parser) find(id uint32) *call {
	if i, ok := p.search(id); ok {
		return p.calls[i]
	}
	return nil
}

func (p *parser) search(id uint32) (int, bool) {
	n := len(p.calls)
	if n == 0 || p.calls[n-1].id < id {
		return n, false
	}
	if p.calls[0].id >= id {
		return 0, p.calls[0].id == id
	}
	i := sort.Search(n, func(i int) bool { return p.calls[i].id >= id })
	return i, i < n && p.calls[i].id == id
}

// open makes the call of a stream that has none; nil if there are too many.
func (p *parser) open(id uint32) *call {
	if len(p.calls) >= maxCalls {
		p.strays = true
		if !p.makeRoom() {
			p.host.Stats.Unmatched++
			return nil
		}
	}
	var c *call
	if n := len(p.free); n > 0 {
		c = p.free[n-1]
		p.free = p.free[:n-1]
	} else {
		c = new(call)
		c.http.Settings, c.http.Strings = p.options.Settings, p.host.Strings
		c.rpc.Settings, c.rpc.Strings = p.options.RPC, p.host.Strings
		c.x.Connection = p.host.Connection
	}
	c.id, c.class = id, classUnknown
	c.code = rpcconv.NoCode
	i, _ := p.search(id)
	p.calls = append(p.calls, nil)
	copy(p.calls[i+1:], p.calls[i:])
	p.calls[i] = c
	return c
}

// makeRoom gives up the oldest call that may have ended in bytes that were not seen, and
// reports whether there was one. Each such end would take up room as long as the
// connection lasts.
func (p *parser) makeRoom() bool {
	for _, c := range p.calls {
		if c.doubtful {
			p.abandon(c)
			return true
		}
	}
	return false
}

// drop takes a call out of the table.
func (p *parser) drop(c *call) {
	i, ok := p.search(c.id)
	if !ok {
		return
	}
	if d := &p.dirs[p.requests.Other()]; c.doubtful && d.suspect {
		d.hpack.forget() // nobody will know what was lost of it
		d.suspect = false
	}
	copy(p.calls[i:], p.calls[i+1:])
	p.calls[len(p.calls)-1] = nil
	p.calls = p.calls[:len(p.calls)-1]
	if len(p.free) >= maxFree {
		return
	}
	x := &c.x
	x.Identity, x.Remote, x.Context = exchange.Identity{}, exchange.Remote{}, exchange.Context{}
	x.Start, x.End, x.Failure = 0, 0, exchange.FailureNone
	x.Workload, x.InFlight, x.Detail = nil, nil, nil
	c.progress = progress{web: webBody{text: c.web.text[:0]}}
	p.free = append(p.free, c)
}

// abandon gives a call up whose end cannot be known any more.
func (p *parser) abandon(c *call) {
	if c.class != classNone {
		p.host.Stats.Unmatched++
	}
	p.retract(c)
}

// retract takes a call back.
func (p *parser) retract(c *call) {
	if c.begun {
		p.host.Sink.Abandon(&c.x)
	}
	p.drop(c)
}

// classify settles what a call is reported as, and begins the exchange.
func (p *parser) classify(c *call, as class) {
	c.class = as
	switch {
	case as == classHTTP && !p.options.HTTP || as != classHTTP && !p.options.GRPC:
		c.class = classNone
		return
	case as == classHTTP:
		c.x.Detail = &c.http
	default:
		c.rpc.Path = append(c.rpc.Path[:0], c.http.Target[:min(len(c.http.Target), rpcconv.MaxPath)]...)
		c.rpc.Authority = append(c.rpc.Authority[:0], c.http.Host...)
		c.rpc.Web = as == classWeb
		c.x.Detail = &c.rpc
	}
	c.begun = true
	p.host.Sink.Begin(&c.x)
}

// finish reports a call whose response is complete, or was given up.
func (p *parser) finish(c *call, time uint64, failure exchange.Failure) {
	if !c.requested {
		// A client's request, which is only told of when its call returns.
		c.over, c.end = true, time
		return
	}
	if c.class == classUnknown {
		switch {
		case c.code != rpcconv.NoCode:
			p.classify(c, classGRPC)
		case c.responded && !c.opaque:
			p.classify(c, classHTTP)
		}
	}
	complete := failure == exchange.FailureNone && c.failed == ""
	switch c.class {
	case classNone:
		p.drop(c)
		return
	case classUnknown:
		p.abandon(c)
		return
	case classHTTP:
		if complete && c.status == 0 {
			p.abandon(c)
			return
		}
		c.http.Status, c.http.Error = c.status, c.failed
		c.http.RequestBody, c.http.ResponseBody = c.requestBody, c.responseBody
	default:
		if c.code == rpcconv.NoCode && complete {
			switch {
			case c.opaque:
				p.abandon(c)
				return
			case c.status != 0 && c.status != 200:
				c.code = rpcconv.CodeOfHTTP(c.status)
			case c.class == classGRPC:
				c.code = rpcconv.Unknown // as libraries take a call without a status
			}
		}
		c.rpc.Code, c.rpc.Error = c.code, ""
	}
	x := &c.x
	x.End, x.Failure = max(time, x.Start), failure
	queueTime := x.Measured.QueueTime
	x.Measured = p.measured
	x.Measured.QueueTime = queueTime
	if c.shared || c.kernel == 0 {
		// Of whichever request the thread served.
		x.Measured.ThreadCPU, x.Measured.RunQueue = exchange.NotMeasured, exchange.NotMeasured
	}
	p.failures, p.misses = 0, 0
	p.host.Sink.End(x)
	p.drop(c)
}
