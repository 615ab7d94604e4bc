// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

// Envelopes are what frames of version 5 travel in behind the handshake (chapter 2 of its
// specification, "Frame format"): a header, the payload, and a CRC32 of that. One that is
// self-contained holds whole frames; otherwise it holds a part of a large one.
const (
	plainHead   = 6 // 17 bits length, 1 bit self-contained; CRC24
	packedHead  = 8 // 17 bits length, 17 bits original length, 1 bit self-contained; CRC24
	trailerSize = 4
	maxPayload  = 1<<17 - 1
)

// envelope is a header.
type envelope struct {
	length int
	// original is the payload's length before compression, 0 if it is not compressed.
	original int
	whole    bool // self-contained
}

// crcTable is of CRC24: polynomial 0x1974f0b, beginning with 0x875060.
var crcTable = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 16
		for range 8 {
			c <<= 1
			if c&0x1000000 != 0 {
				c ^= 0x1974f0b
			}
		}
		t[i] = c & 0xffffff
	}
	return t
}()

func crc24(b []byte) uint32 {
	c := uint32(0x875060)
	for _, x := range b {
		c = (c<<8)&0xffffff ^ crcTable[byte(c>>16)^x]
	}
	return c
}

// parseEnvelope reads a header of size bytes; false if its checksum is wrong.
func parseEnvelope(b []byte, size int) (e envelope, ok bool) {
	if len(b) < size {
		return e, false
	}
	n := size - 3
	if crc24(b[:n]) != uint32(b[n])|uint32(b[n+1])<<8|uint32(b[n+2])<<16 {
		return e, false
	}
	var v uint64
	for i := n - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	e.length = int(v & maxPayload)
	if size == packedHead {
		e.original = int(v >> 17 & maxPayload)
		e.whole = v>>34&1 != 0
		return e, v>>35 == 0 && e.length > 0
	}
	e.whole = v>>17&1 != 0
	return e, v>>18 == 0 && e.length > 0
}

// isEnvelope reports whether b begins with one, and learns of which kind they are.
func (p *parser) isEnvelope(b []byte) bool {
	for _, size := range [...]int{plainHead, packedHead} {
		if p.head != 0 && p.head != size {
			continue
		}
		if _, ok := parseEnvelope(b, size); ok {
			p.head = size
			return true
		}
	}
	return false
}

// inside is where a direction is within envelopes.
type inside struct {
	frames stream.Stream
	offset uint64 // how much frames was fed
	// missing is what of the payload is to come. origin is where the envelope began,
	// fresh until the first of its payload has been passed on.
	missing  int
	original int
	origin   stream.Origin
	begun    uint64
	passed   int
	fresh    bool
	// skip: until a self-contained one comes, it is not known where frames begin.
	skip bool
}

// envelopes reads those of one direction.
func (p *parser) envelopes(d *side, s *protocol.Segment, request bool) {
	in := &d.in
	for p.err == nil && !d.lost && d.Ahead() == 0 {
		if in.missing == 0 {
			if !p.openEnvelope(d, request) {
				return
			}
			continue
		}
		if in.original > 0 {
			if !p.unpackEnvelope(d, s, request) {
				return
			}
			continue
		}
		b := d.Available()
		if len(b) > 0 {
			n := min(len(b), in.missing)
			p.pass(d, s, b[:n], n, request)
			if p.err == nil {
				d.Discard(uint64(n))
				p.passedOn(d, n)
			}
			continue
		}
		if !d.HoleAhead() {
			return
		}
		from := d.Offset()
		d.Resync()
		gap := int(min(d.Offset()-from, 1<<30))
		n := min(gap, in.missing)
		p.pass(d, s, nil, n, request)
		in.missing -= n
		if in.missing > 0 || p.err != nil {
			continue
		}
		if gap-n > trailerSize {
			p.loseEnvelopes(d)
			return
		}
		d.Discard(uint64(trailerSize - (gap - n)))
	}
}

// passedOn counts payload, and passes over the checksum behind it.
func (p *parser) passedOn(d *side, n int) {
	if d.in.missing -= n; d.in.missing == 0 {
		d.Discard(trailerSize)
	}
}

// openEnvelope reads a header; false if there is none.
func (p *parser) openEnvelope(d *side, request bool) bool {
	b, status := d.Peek(p.head)
	if status == stream.More {
		return false
	}
	if status == stream.Hole {
		p.loseEnvelopes(d)
		return false
	}
	e, ok := parseEnvelope(b, p.head)
	if !ok {
		p.invalid(d)
		p.loseEnvelopes(d)
		return false
	}
	in := &d.in
	in.begun, in.fresh, in.passed = d.Offset(), true, 0
	if request {
		in.origin = d.Begin(p.role)
	}
	in.missing, in.original = e.length, e.original
	if in.skip && e.whole {
		in.skip = false
		p.host.Stats.Resyncs++
	}
	if e.whole && (in.frames.Ahead() > 0 || len(in.frames.Available()) > 0) {
		p.invalid(d) // the large frame did not come to its end
		in.skip = false
	}
	d.Discard(uint64(p.head))
	return true
}

// unpackEnvelope undoes the compression of a payload; false if it is not all there.
func (p *parser) unpackEnvelope(d *side, s *protocol.Segment, request bool) bool {
	in := &d.in
	b, status := d.Peek(in.missing)
	if status == stream.More {
		return false
	}
	if status == stream.Hole {
		b = d.Available()
		b = b[:min(len(b), in.missing)]
	}
	out := p.unpacker.lz4(b, in.original)
	if status == stream.Ready && len(out) < in.original {
		out = nil
	}
	p.pass(d, s, out, in.original, request)
	if p.err == nil {
		n := in.missing
		d.Discard(uint64(n))
		p.passedOn(d, n)
	}
	return true
}

// pass gives n bytes of payload, of which b was copied, to who reads frames.
func (p *parser) pass(d *side, s *protocol.Segment, b []byte, n int, request bool) {
	in := &d.in
	if in.skip {
		p.missed(d)
		return
	}
	g := *s
	g.Lost, g.Offset, g.Len, g.Data, g.Tail = 0, in.offset, n, b, nil
	g.Position = s.Position + uint32(in.begun) - uint32(s.Offset) + uint32(in.passed)
	g.Identity.Seed = 0
	if request && in.fresh {
		o := &in.origin
		g.First, g.Time, g.PID, g.TID, g.Identity, g.Measured = o.First, o.Time, o.PID, o.TID, o.Identity, o.Measured
	}
	in.fresh = false
	in.passed += n
	in.offset += uint64(n)
	in.frames.Feed(&g, false)
	p.messages(d, &in.frames, s, request)
	in.frames.Keep()
}

// loseEnvelopes forgets where they begin.
func (p *parser) loseEnvelopes(d *side) {
	p.lose(d)
	d.lost = true
	d.in.missing = 0
	d.Clear()
}
