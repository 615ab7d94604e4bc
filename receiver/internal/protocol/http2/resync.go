// SPDX-License-Identifier: Apache-2.0

package http2

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"

// Bytes that passed without being seen cost two things: where frames begin, and what
// is in the dynamic table if they held header sections.
//
// Frames are found again by chains of heads that fit. The table is kept if what
// follows shows that no header section can have been lost:
//
//   - Clients number their streams without leaving any out. If the next one is the
//     next, no request was lost. (That a client sends trailers, of which this would not
//     tell, is as good as unheard of.)
//   - Servers owe each stream in flight either a head or, behind a body, its end. If
//     each one goes on after the loss as it stood before it, nothing was lost.
//
// Otherwise the table is forgotten (decoder.forget).

// lose acts on bytes that were not seen where a frame, or the rest of one, is.
func (p *parser) lose(d *direction, request bool) {
	p.unsync(d, request)
	d.suspect = true
	if d.block.open {
		// A part of a header section is lost for certain.
		d.hpack.forget()
		d.suspect = false
	}
	d.bytes.Resync()
}

// unsync: it is not known any more where frames begin.
func (p *parser) unsync(d *direction, request bool) {
	d.synced, d.unproven = false, true
	if d.block.open {
		d.block.open = false
		p.strays = true
		if c := p.find(d.block.head.stream); c != nil {
			p.abandon(c)
		} else if request {
			p.newest = max(p.newest, d.block.head.stream)
			p.host.Stats.Unmatched++
		}
	}
	for _, c := range p.calls {
		c.doubtful = true
		switch {
		case request && !c.sent:
			c.requestBody = -1
		case !request && c.responded:
			c.responseBody = -1
			c.web.lost = true
		}
	}
}

// trustRequests decides, before the header section of a stream is decoded, about a
// table that is suspected.
func (p *parser) trustRequests(d *direction, id uint32) {
	if d.suspect && id != p.newest+2 {
		d.hpack.forget()
		p.strays = p.strays || id > p.newest // requests were lost
	}
	d.suspect = false
}

// distrust does that for a response; c is nil if it is of no call. end: the stream ends
// with this header section.
func (p *parser) distrust(d *direction, c *call, end bool) {
	if !d.suspect {
		return
	}
	sound := !p.strays
	for _, other := range p.calls {
		// What ends a response may be its trailers, and the head lost.
		sound = sound && (!other.doubtful || other == c && (c.responded || !end))
	}
	if !sound {
		d.hpack.forget()
	}
	d.suspect = false
}

// resync looks for a frame in what there is of the segment.
func (p *parser) resync(d *direction, request bool) bool {
	t := &d.bytes
	for {
		b := t.Available()
		if at := p.scan(b, t.AtSegment(), !t.HoleAhead(), request); at >= 0 {
			t.Discard(uint64(at))
			d.synced = true
			if d.was {
				p.host.Stats.Resyncs++
			}
			d.was = true
			for _, c := range p.calls {
				c.doubtful = c.doubtful || !request // what began since may have ended unseen
			}
			return true
		}
		if !t.HoleAhead() || !t.Resync() {
			t.Clear()
			if d.turn && d.was {
				if p.misses++; p.misses >= maxMisses {
					p.err = protocol.ErrMismatch
				}
			}
			return false
		}
	}
}

// scan finds where a frame begins; -1 if nowhere. first: b begins with the segment;
// whole: it goes up to its end.
func (p *parser) scan(b []byte, first, whole, request bool) int {
	for at := 0; at+frameHead <= len(b); at++ {
		n, exact := chain(b[at:], request)
		switch {
		case n == 0:
		case n >= 3, exact && whole && n >= 2:
			return at
		case at == 0 && first && (whole && (exact || len(b) == frameHead) || p.goesOn(b)):
			return at // some read the head of a frame by itself
		}
	}
	return -1
}

// goesOn reports whether b begins with a frame of a stream that is in flight.
func (p *parser) goesOn(b []byte) bool {
	f, _ := parseFrame(b)
	return (f.kind == frameData || f.kind == frameHeaders) && p.find(f.stream) != nil
}

// chain counts the heads of frames, each where the one before ends. exact: the last
// one ends with b. It is 0 if one of them is none.
func chain(b []byte, request bool) (n int, exact bool) {
	for len(b) >= frameHead {
		if b[3] > frameContinuation { // nearly always decides
			return 0, false
		}
		f, ok := parseFrame(b)
		if !ok || !f.usual() || !f.fits(request) {
			return 0, false
		}
		n++
		if rest := uint64(len(b) - frameHead); uint64(f.length) > rest {
			return n, false
		}
		b = b[frameHead+f.length:]
	}
	return n, len(b) == 0
}

// fits reports whether a frame can go in a direction.
func (f *frame) fits(request bool) bool {
	switch {
	case request && (f.kind == frameHeaders || f.kind == frameData) && f.stream%2 == 0:
		return false
	case request && f.kind == framePush:
		return false
	}
	return true
}
