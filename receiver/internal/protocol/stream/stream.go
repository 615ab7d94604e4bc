// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Status of a Peek.
type Status uint8

const (
	// Ready: the bytes are there.
	Ready Status = iota
	// More: they are in a segment to come.
	More
	// Hole: at least one of them passed without being copied.
	Hole
)

// Origin says where bytes began, who moved them, and when.
type Origin struct {
	// Offset in the direction's stream.
	Offset uint64
	// First is when the first byte of the call that moved them did, Time when the
	// call finished. CLOCK_MONOTONIC, ns.
	First, Time uint64
	PID, TID    uint32
	// Turn is true if they are the first of their turn.
	Turn bool
	// Identity of the request that begins there.
	Identity exchange.Identity
	// Measured is as of the segment.
	Measured exchange.Measured
}

// piece is bytes that were copied, behind gap bytes that were not.
type piece struct {
	gap   uint64
	bytes []byte
}

// Stream is one direction of a connection. The zero value is ready to use. Memory
// is bounded by what a parser peeks for without discarding it.
type Stream struct {
	// What is ahead of the position. Only the first piece can be without a gap.
	pieces [4]piece
	n      int
	skip   uint64 // bytes of segments to come that are discarded already
	offset uint64 // of the position

	carry   []byte // memory of what is kept from segment to segment
	carried int    // so many bytes at the position are from earlier segments,
	older   Origin // the first of which began here
	joined  []byte // memory of a later piece

	current Origin // of the segment's first byte
	segment uint64 // the segment's offset
	wire    *exchange.Wire
	base    uint32 // what to add to offsets so that both ends count alike
}

// Feed adds the next segment of the direction. turn says that it begins a turn: the
// segment before it on the connection was of the other direction. Keep has to be
// called before the segment's bytes become invalid.
func (t *Stream) Feed(s *protocol.Segment, turn bool) {
	if t.n == 0 && t.skip == 0 {
		t.offset = s.Offset - s.Lost
	}
	t.segment = s.Offset
	t.wire, t.base = s.Wire, s.Position-uint32(s.Offset)
	t.current = Origin{First: s.First, Time: s.Time, PID: s.PID, TID: s.TID, Turn: turn, Identity: s.Identity, Measured: s.Measured}
	t.add(s.Lost, s.Data)
	missing := max(s.Len-len(s.Data), 0)
	tail := s.Tail[max(len(s.Tail)-missing, 0):] // of a short rest, its first bytes were copied
	if missing > 0 {
		t.add(uint64(missing-len(tail)), tail)
	}
}

// add puts bytes behind what is there.
func (t *Stream) add(gap uint64, b []byte) {
	if t.skip > 0 {
		n := min(t.skip, gap)
		gap -= n
		m := min(t.skip-n, uint64(len(b)))
		b = b[m:]
		t.skip -= n + m
		t.offset += n + m
	}
	switch {
	case gap == 0 && len(b) == 0:
	case t.n == 0:
		t.pieces[0] = piece{gap, b}
		t.n = 1
	case gap == 0 && len(t.pieces[t.n-1].bytes) > 0:
		// Behind what was kept, or a tail that leaves nothing out.
		last, to := &t.pieces[t.n-1], &t.carry
		if t.n > 1 {
			to = &t.joined // the first piece is in carry
		}
		*to = append(append((*to)[:0], last.bytes...), b...) // append moves: they may overlap
		last.bytes = *to
	case len(t.pieces[t.n-1].bytes) == 0:
		last := &t.pieces[t.n-1]
		last.gap += gap
		last.bytes = b
	default:
		t.pieces[t.n] = piece{gap, b}
		t.n++
	}
}

// Peek returns the next n bytes; they are valid until the next call of another
// method than Peek, Begin or Offset. Without Ready they are nil.
func (t *Stream) Peek(n int) ([]byte, Status) {
	switch {
	case t.n == 0 || t.skip > 0:
		return nil, More
	case t.pieces[0].gap > 0:
		return nil, Hole
	case len(t.pieces[0].bytes) >= n:
		return t.pieces[0].bytes[:n:n], Ready
	case t.n > 1:
		return nil, Hole
	}
	return nil, More
}

// Available is what can be peeked: the bytes up to the next hole, or up to the end
// of the segment.
func (t *Stream) Available() []byte {
	if t.n == 0 || t.pieces[0].gap > 0 {
		return nil
	}
	b := t.pieces[0].bytes
	return b[:len(b):len(b)]
}

// HoleAhead reports whether there is a hole behind what is Available.
func (t *Stream) HoleAhead() bool {
	return t.n > 1 || t.n == 1 && t.pieces[0].gap > 0
}

// Discard passes over n bytes: those that are there, holes, and, if these are fewer,
// the next ones of segments to come.
func (t *Stream) Discard(n uint64) {
	for n > 0 && t.n > 0 {
		p := &t.pieces[0]
		if p.gap > 0 {
			m := min(n, p.gap)
			p.gap -= m
			n -= m
			t.pass(m)
			if p.gap > 0 {
				return
			}
		}
		m := min(n, uint64(len(p.bytes)))
		p.bytes = p.bytes[m:]
		n -= m
		t.pass(m)
		if len(p.bytes) == 0 {
			t.drop()
		}
	}
	t.skip += n
}

func (t *Stream) pass(n uint64) {
	t.offset += n
	t.carried = max(t.carried-int(min(n, 1<<30)), 0)
}

// drop takes the first piece out.
func (t *Stream) drop() {
	copy(t.pieces[:], t.pieces[1:t.n])
	t.n--
	t.pieces[t.n] = piece{}
}

// Resync passes over what is Available and over the hole behind it, to the first byte
// that was copied after it, and reports whether there is one. What was discarded
// ahead is forgotten.
func (t *Stream) Resync() bool {
	t.skip = 0
	if t.n == 0 {
		return false
	}
	if p := &t.pieces[0]; p.gap == 0 {
		t.pass(uint64(len(p.bytes)))
		t.drop()
	}
	if t.n == 0 {
		return false
	}
	p := &t.pieces[0]
	t.pass(p.gap)
	p.gap = 0
	if len(p.bytes) == 0 {
		t.drop()
	}
	return t.n > 0
}

// Clear passes over everything up to the end of the segment, and forgets what was
// discarded ahead: the next position is the beginning of the next segment.
func (t *Stream) Clear() {
	t.skip = 0
	for t.n > 0 {
		p := &t.pieces[0]
		t.pass(p.gap + uint64(len(p.bytes)))
		t.drop()
	}
}

// Keep copies what is left of the segment, for when the next one comes. Bytes before
// a hole can never become more: they are passed over, with the hole.
func (t *Stream) Keep() {
	for t.n > 1 || t.n == 1 && t.pieces[0].gap > 0 {
		if !t.Resync() {
			break
		}
	}
	if t.n == 0 {
		t.carried = 0
		if cap(t.carry) > maxIdle {
			t.carry = nil
		}
		return
	}
	b := t.pieces[0].bytes
	if t.carried == 0 {
		t.older = t.current
		t.older.Offset = t.offset
		t.older.Turn = t.current.Turn && t.offset == t.segment
	}
	t.carry = append(t.carry[:0], b...) // b may be a part of carry: append moves
	t.pieces[0].bytes = t.carry
	t.carried = len(t.carry)
}

// maxIdle is how much memory a stream that holds no bytes keeps.
const maxIdle = 4 << 10

// Begin is the origin of the byte at the position, where a request begins. The first
// one of a segment gets the identity that the kernel made for it.
func (t *Stream) Begin(role exchange.Role) Origin {
	from := &t.current
	turn := t.current.Turn && t.offset == t.segment
	if t.carried > 0 {
		from, turn = &t.older, t.older.Turn
	}
	o := *from
	o.Offset, o.Turn = t.offset, turn
	position := t.base + uint32(t.offset)
	o.Identity = protocol.Identify(from.Identity, role, t.wire, position, from.Time)
	from.Identity.Seed = 0
	return o
}

// Offset is the position: that of the next byte, in the direction's stream.
func (t *Stream) Offset() uint64 { return t.offset + t.skip }

// AtSegment reports whether the position is the first byte of the segment.
func (t *Stream) AtSegment() bool { return t.skip == 0 && t.offset == t.segment && t.carried == 0 }

// Ahead is how many bytes of segments to come are discarded already.
func (t *Stream) Ahead() uint64 { return t.skip }
