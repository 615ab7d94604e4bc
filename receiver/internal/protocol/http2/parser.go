// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// preface is what a client begins a connection with (RFC 9113 section 3.4).
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	// maxBlock bounds a header section as it is sent, in bytes. What is longer is
	// passed over, and then the dynamic table is not known any more.
	maxBlock = 64 << 10
	// maxFailures is how many times frames may not be understood, with nothing
	// understood between them, before that is a mismatch.
	maxFailures = 5
	// maxMisses is how many turns may begin without a frame, with no call complete
	// between them, before that is a mismatch.
	maxMisses = 64
	// keepBlock is the largest buffer of a header section kept, in bytes.
	keepBlock = 8 << 10
)

// direction is one of the two streams of bytes.
type direction struct {
	bytes stream.Stream
	hpack decoder
	// synced: a frame begins at the position. seen: how it begins has been judged. fresh: it is
	// to be the first one of HTTP/2.
	synced, seen, fresh bool
	// unproven: frames were lost, and nothing known has been found in those that were taken
	// for frames since.
	unproven bool
	// turn: the segment at hand begins a turn.
	turn bool
	// was: it was synced once.
	was bool
	// block is the header section in progress, of which CONTINUATION frames follow.
	block block
	// ending is the stream that ends with the DATA frame in progress; 0 if none does.
	ending uint32
	// suspect: bytes were lost, and they may have held header sections: the dynamic
	// table is right only if it shows that they did not.
	suspect bool
}

// block is a header section in several frames.
type block struct {
	open  bool
	skip  bool // it is too long, and its call abandoned
	head  frame
	from  stream.Origin
	bytes []byte
}

type parser struct {
	host    protocol.Host
	options Options
	// requests is the direction of requests.
	requests protocol.Direction
	role     exchange.Role
	err      error
	closed   bool

	dirs    [2]direction // by protocol.Direction
	lastDir protocol.Direction
	any     bool // there was a segment

	calls []*call // in flight, by their streams
	free  []*call
	// newest is the highest stream of a request.
	newest uint32
	// strays: streams may be in flight that are not among the calls.
	strays bool
	turn   turn
	header header

	failures, misses int
	// measured is of the last segment of responses.
	measured exchange.Measured
	// time of the segment at hand.
	time  uint64
	ends  protocol.Ends
	state string // the tracestate seen last
}

var _ protocol.Parser = (*parser)(nil)

func newParser(host protocol.Host, o Options, req protocol.Direction) *parser {
	p := &parser{host: host, options: o, requests: req, role: host.Role(req), measured: exchange.Unmeasured, strays: true}
	for i := range p.dirs {
		p.dirs[i].hpack.forget()
	}
	return p
}

// Window implements protocol.Parser: header sections can be anywhere, and each is
// needed to understand those behind it.
func (p *parser) Window() protocol.Window {
	return protocol.Window{Sent: 64 << 10, Received: 64 << 10, After: protocol.EverySegment}
}

// Segment implements protocol.Parser.
func (p *parser) Segment(s *protocol.Segment) error {
	if p.err != nil || p.closed {
		return p.err
	}
	d := &p.dirs[s.Dir]
	turn := !p.any || s.Dir != p.lastDir
	p.any, p.lastDir = true, s.Dir
	p.time = s.Time
	if s.Dir == p.requests {
		p.arrived(s, turn)
	} else {
		p.turn.over = true
		p.observe(s)
	}
	if d.ending != 0 && s.Lost > 0 && s.Lost >= d.bytes.Ahead() {
		// It is complete, but nobody knows since when.
		if c := p.find(d.ending); c != nil {
			p.abandon(c)
		}
		d.ending = 0
	}
	d.bytes.Feed(s, turn)
	d.turn = turn
	if !d.seen {
		d.seen = p.start(d, s)
	}
	if d.seen {
		p.consume(d, s.Dir == p.requests)
	}
	d.bytes.Keep()
	if p.err != nil {
		p.retractAll()
	}
	return p.err
}

func (p *parser) retractAll() {
	for len(p.calls) > 0 {
		p.retract(p.calls[len(p.calls)-1])
	}
}

// start judges the first bytes of a direction: whether the connection begins here. It
// reports false if that takes more of them.
func (p *parser) start(d *direction, s *protocol.Segment) bool {
	if !d.fresh && (s.Lost > 0 || d.bytes.Offset() != 0) {
		return true
	}
	b := d.bytes.Available()
	if s.Dir == p.requests {
		if n := min(len(b), len(preface)); n > 0 && string(b[:n]) == preface[:n] {
			d.bytes.Discard(uint64(len(preface)))
			p.begin(d)
			p.strays = false
			if r := &p.dirs[s.Dir.Other()]; !r.seen {
				p.begin(r)
				r.seen = true
			}
		}
		return true
	}
	// The server's preface is a SETTINGS frame, which seldom comes again.
	if len(b) < frameHead {
		return len(b) == 0 || d.bytes.HoleAhead() || !plausible(b)
	}
	if f, ok := parseFrame(b); ok && f.kind == frameSettings && f.flags&flagAck == 0 && f.usual() {
		p.begin(d)
	}
	return true
}

// begin: the connection begins here.
func (p *parser) begin(d *direction) {
	d.hpack.begin()
	d.synced, d.was = true, true
}

// consume reads the frames that are there.
func (p *parser) consume(d *direction, request bool) {
	t := &d.bytes
	for p.err == nil {
		if d.ending != 0 {
			if t.Ahead() > 0 {
				return
			}
			id := d.ending
			d.ending = 0
			p.ended(id)
		}
		if !d.synced && !p.resync(d, request) {
			return
		}
		b, status := t.Peek(frameHead)
		if status == stream.More {
			return
		}
		if status == stream.Hole {
			p.lose(d, request)
			continue
		}
		f, ok := parseFrame(b)
		if !ok || d.block.open && (f.kind != frameContinuation || f.stream != d.block.head.stream) || !d.block.open && f.kind == frameContinuation {
			p.invalid(d, request)
			continue
		}
		need := 0
		switch f.kind {
		case frameHeaders, frameContinuation, framePush:
			need = int(f.length)
			if need > maxBlock {
				p.skipBlock(d, &f, request)
				continue
			}
		case frameReset, frameGoAway:
			need = min(int(f.length), 8)
		case frameData:
			if f.flags&flagPadded != 0 {
				need = 1
			}
			if c := p.find(f.stream); c != nil {
				if c.class == classWeb && !request && f.length <= maxBlock {
					need = int(f.length)
				} else if n := c.wanted(&f, request); n > 0 {
					need = n
				}
			}
		}
		if need > 0 {
			if b, status = t.Peek(frameHead + need); status == stream.More {
				return
			} else if status == stream.Hole {
				if f.kind != frameData {
					p.lose(d, request)
					continue
				}
				b = nil
			} else {
				b = b[frameHead:]
			}
		} else {
			b = b[frameHead:]
		}
		switch f.kind {
		case frameHeaders:
			p.headers(d, &f, b, request)
			continue // passes over the frame itself
		case frameContinuation:
			p.continued(d, &f, b, request)
			continue
		case framePush:
			p.promised(d, &f, b)
			continue
		case frameData:
			p.data(d, &f, b, request)
		case frameReset:
			p.reset(&f, be32(b), request)
		case frameGoAway:
			p.goAway(be32(b)&^(1<<31), request)
		}
		t.Discard(frameHead + uint64(f.length))
	}
}

func be32(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// invalid acts on bytes that are no frame where one has to be.
func (p *parser) invalid(d *direction, request bool) {
	p.host.Stats.Invalid++
	p.unsync(d, request)
	d.hpack.forget()
	d.suspect = false
	if p.failures++; p.failures >= maxFailures {
		p.err = protocol.ErrMismatch
	}
	d.bytes.Discard(1)
}

// garbled acts on a header section that cannot be decoded.
func (p *parser) garbled(d *direction) {
	p.host.Stats.Invalid++
	d.hpack.forget()
	d.suspect = false
	if p.failures++; p.failures >= maxFailures {
		p.err = protocol.ErrMismatch
	}
}

// skipBlock passes over a frame with which a header section gets too long, and over
// what follows of it.
func (p *parser) skipBlock(d *direction, f *frame, request bool) {
	p.host.Stats.Invalid++
	d.hpack.forget()
	d.suspect = false
	k := &d.block
	if f.kind != frameContinuation {
		k.head = *f
	}
	k.open, k.skip, k.bytes = f.flags&flagEndHeaders == 0, true, nil
	id := k.head.stream
	p.strays = true
	if c := p.find(id); c != nil {
		p.abandon(c)
	} else if request && id > p.newest {
		p.newest = id
		p.host.Stats.Unmatched++
	}
	d.bytes.Discard(frameHead + uint64(f.length))
}
