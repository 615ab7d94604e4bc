// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// frame enters the body of the message whose head is h, by RFC 9112 section
// 6.3. bodiless are responses that never have one. It reports whether the
// message is complete with its head.
func (st *stream) frame(h *head, request, bodiless bool) bool {
	st.body, st.remain, st.unknown, st.want = 0, 0, false, 0
	switch {
	case bodiless:
		if h.cut {
			// Where the head ends is not known, and so neither when.
			st.await()
			return false
		}
		return true
	case h.cut, h.coding == codingNone && h.length == lengthInvalid, h.coding == codingOther && request:
		st.unknown = true
		st.await()
		return false
	case h.coding == codingChunked:
		// Transfer-Encoding overrides Content-Length.
		st.chunked()
		return false
	case h.coding == codingNone && h.length > 0:
		st.state = stateLength
		st.remain = h.length
		return false
	case h.coding == codingNone && (request || h.length == 0):
		return true
	}
	st.state = stateUntilClose
	return false
}

// await enters stateEvidence.
func (st *stream) await() {
	st.state = stateEvidence
	st.ntail = 0
	st.release()
}

// unknownBody marks the request body in progress as of unknown size.
func (st *stream) unknownBody() {
	if st.slot != nil {
		st.slot.d.RequestBody = -1
	}
}

// size is the payload size of the message so far, -1 if it is not known.
func (st *stream) size() int64 {
	if st.unknown {
		return -1
	}
	return st.body
}

// complete ends the message in progress in st, exactly here.
func (p *parser) complete(st *stream, time uint64) {
	if st == &p.req {
		if st.slot != nil {
			st.slot.d.RequestBody = st.size()
		}
		st.boundary()
		return
	}
	if st.slot != nil {
		p.completeResponse(time)
	} else {
		p.orphan.finish(time)
	}
	st.boundary()
}

// loseFraming goes on without knowing where the message in progress ends.
func (p *parser) loseFraming(st *stream) {
	if st == &p.req {
		st.unknown = true
		st.unknownBody()
		st.await()
		// More requests may follow unseen.
		p.certain = false
		return
	}
	if st.slot == nil || p.inFlight() > 1 {
		// The responses behind it cannot be told apart any more, and its own
		// end might be one of theirs.
		p.loseResponses()
		return
	}
	st.unknown = true
	st.await()
}

// hole skips n bytes of the segment at hand that were not copied.
func (p *parser) hole(st *stream, n int64, s *protocol.Segment) {
	request := st == &p.req
	if n > 0 {
		st.want = 0
	}
	switch st.state {
	case stateLength:
		m := min(n, st.remain)
		st.remain -= m
		st.body += m
		if st.remain > 0 {
			return
		}
		p.complete(st, s.Time)
		if n > m {
			p.lose(st, n-m)
		}
	case stateChunkSize, stateChunkData, stateChunkEnd, stateTrailer:
		if !st.skipChunked(n) {
			p.loseFraming(st)
		}
	case stateUntilClose:
		st.body += n
	case stateHead:
		p.cut(st, n, s)
	case stateOrphan:
		p.orphan.forget()
		st.sync(true)
	case stateEvidence:
		st.ntail = 0
	case stateSync:
		st.lost = true
		// A segment of which nothing was copied may begin with a head.
		if len(s.Data) == 0 {
			p.lose(st, n)
		} else if request {
			p.certain = false
		} else if p.inFlight() > 0 && p.pipelined {
			p.loseResponses()
		}
	}
}

// cut deals with a hole at the start of a message or in its head. The lines
// before the hole are good for an exchange; the framing is lost.
func (p *parser) cut(st *stream, n int64, s *protocol.Segment) {
	if len(st.buf) == 0 || bytes.IndexByte(st.buf, '\n') < 0 {
		p.lose(st, n)
		return
	}
	if p.parse(st, st.buf, true, s) <= 0 {
		p.invalid(st, s)
		return
	}
	st.release()
}

// gap skips n bytes that were never seen at all: they came in other segments,
// of which not even the times are known.
func (p *parser) gap(st *stream, n int64, s *protocol.Segment) {
	if st == &p.resp {
		p.settleInterleaving()
	}
	st.want = 0
	switch st.state {
	case stateLength:
		m := min(n, st.remain)
		st.remain -= m
		st.body += m
		if st.remain > 0 {
			return
		}
		if st == &p.resp && st.slot != nil {
			// Complete, but nobody knows when.
			p.host.Stats.Unmatched++
			p.abandonFront()
		}
		p.complete(st, s.Time)
		if n > m {
			p.lose(st, n-m)
		}
	case stateChunkSize, stateChunkData, stateChunkEnd, stateTrailer:
		if st.skipChunked(n) {
			return
		}
		if st == &p.req {
			p.loseFraming(st)
		} else {
			p.loseResponses()
		}
	case stateUntilClose:
		st.body += n
	case stateEvidence:
		if st == &p.req {
			st.ntail = 0
			p.certain = false
			return
		}
		p.loseResponses()
	default:
		p.lose(st, n)
	}
}

// lose forgets the message boundaries after n bytes that may have held heads.
func (p *parser) lose(st *stream, n int64) {
	if st == &p.resp {
		p.loseResponses()
		return
	}
	hidden := 0
	if st.state == stateHead && (len(st.buf) > 0 || n >= shortestRequest) {
		hidden = 1
	}
	p.loseRequests(hidden)
}

// shortestRequest is the length of "A / HTTP/1.1\r\n\r\n": fewer unseen bytes
// cannot hide a request.
const shortestRequest = 16

// lastChunk is how the end of a chunked body looks (RFC 9112 section 7.1),
// after the line end of the chunk before.
const lastChunk = "\r\n0\r\n\r\n"

// evidence looks, at the end of a segment, for the end of a message whose
// framing was lost.
func (p *parser) evidence(st *stream, s *protocol.Segment) {
	end := s.Tail
	if len(s.Data) >= s.Len {
		end = s.Data
	} else if len(end) == 0 {
		st.ntail = 0
		return
	}
	whole := s.Len == len(lastChunk)-2 && string(end) == lastChunk[2:]
	if len(end) >= len(st.tail) {
		st.ntail = uint8(copy(st.tail[:], end[len(end)-len(st.tail):]))
	} else {
		if len(end) < s.Len {
			st.ntail = 0 // does not follow what is in tail
		}
		keep := min(int(st.ntail), len(st.tail)-len(end))
		copy(st.tail[:], st.tail[int(st.ntail)-keep:st.ntail])
		copy(st.tail[keep:], end)
		st.ntail = uint8(keep + len(end))
	}
	tail := st.tail[:st.ntail]
	bodiless := st == &p.resp && !st.unknown
	switch {
	case bodiless && bytes.HasSuffix(tail, []byte("\r\n\r\n")):
	case !bodiless && (whole || bytes.HasSuffix(tail, []byte(lastChunk))):
	default:
		return
	}
	p.complete(st, s.Time)
	st.sync(false)
}
