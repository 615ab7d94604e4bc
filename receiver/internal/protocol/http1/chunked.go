// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

const (
	// maxChunkLine bounds a chunk's size line with its extensions, in bytes;
	// maxTrailer all trailer fields together.
	maxChunkLine = 16 << 10
	maxTrailer   = maxHead
	// maxChunkDigits keeps the size within 63 bits.
	maxChunkDigits = 15
)

// chunk is the position in chunked framing (RFC 9112 section 7.1).
type chunk struct {
	// size and digits of the size line so far; extension: the digits are over.
	size      int64
	digits    uint8
	extension bool
	// carriage: the byte before was a CR (chunk end), or all bytes of the
	// line so far were (trailer).
	carriage bool
	// content: the trailer line so far is not empty.
	content bool
	// line counts the bytes of the size line, or of the trailer section.
	line int
}

// chunked enters a chunked body.
func (st *stream) chunked() {
	st.state = stateChunkSize
	st.chunk = chunk{}
}

// feedChunked consumes one element of chunked framing, or the part of it that
// is there.
func (p *parser) feedChunked(st *stream, b []byte, s *protocol.Segment) []byte {
	c := &st.chunk
	switch st.state {
	case stateChunkSize:
		return p.feedChunkSize(st, b)
	case stateChunkData:
		n := min(int64(len(b)), st.remain)
		if st.want > 0 {
			p.take(st, b[:n])
		}
		st.remain -= n
		st.body += n
		if st.remain == 0 {
			st.state = stateChunkEnd
			c.carriage = false
		}
		return b[n:]
	case stateChunkEnd:
		switch {
		case b[0] == '\n':
			st.chunked()
		case b[0] == '\r' && !c.carriage:
			c.carriage = true
		default:
			p.brokenChunk(st)
		}
		return b[1:]
	default: // stateTrailer
		i := bytes.IndexByte(b, '\n')
		part := b
		if i >= 0 {
			part = b[:i]
		}
		if c.line += len(part); c.line > maxTrailer {
			p.brokenChunk(st)
			return nil
		}
		for _, x := range part {
			if x != '\r' {
				c.content = true
				break
			}
		}
		if i < 0 {
			return nil
		}
		if !c.content {
			p.complete(st, s.Time)
		}
		c.content = false
		return b[i+1:]
	}
}

// feedChunkSize consumes chunk-size [chunk-ext] CRLF.
func (p *parser) feedChunkSize(st *stream, b []byte) []byte {
	c := &st.chunk
	for len(b) > 0 {
		if c.extension {
			i := bytes.IndexByte(b, '\n')
			if i < 0 {
				i = len(b)
			} else if c.line+i <= maxChunkLine {
				return p.chunkSized(st, b[i:])
			}
			if c.line += i; c.line > maxChunkLine {
				p.brokenChunk(st)
			}
			return nil
		}
		x := b[0]
		if x == '\n' && c.digits > 0 {
			return p.chunkSized(st, b)
		}
		v := hexValue[x]
		if 'A' <= x && x <= 'F' {
			v = x - 'A' + 10
		}
		switch {
		case v != notHex && c.digits < maxChunkDigits:
			c.size = c.size<<4 | int64(v)
			// Leading zeros do not count against the limit.
			if c.digits == 0 || c.size > 0 {
				c.digits++
			}
		case c.digits > 0 && (x == ';' || x == '\r' || x == ' ' || x == '\t'):
			c.extension = true
		default:
			p.brokenChunk(st)
			return nil
		}
		if c.line++; c.line > maxChunkLine {
			p.brokenChunk(st)
			return nil
		}
		b = b[1:]
	}
	return nil
}

// chunkSized acts on a complete size line; b begins with its line feed.
func (p *parser) chunkSized(st *stream, b []byte) []byte {
	st.remain = st.chunk.size
	st.state = stateChunkData
	if st.remain == 0 {
		st.state = stateTrailer
	}
	st.chunk = chunk{}
	return b[1:]
}

// brokenChunk gives up on chunked framing that is not what it should be.
func (p *parser) brokenChunk(st *stream) {
	p.host.Stats.Invalid++
	p.loseFraming(st)
}

// skipChunked advances by n bytes that were not seen, as far as they are chunk
// data. It reports whether the framing is still known.
func (st *stream) skipChunked(n int64) bool {
	if st.state == stateChunkData {
		m := min(n, st.remain)
		st.remain -= m
		st.body += m
		n -= m
		if st.remain == 0 {
			st.state = stateChunkEnd
			st.chunk.carriage = false
		}
	}
	if st.state == stateChunkEnd && n > 0 {
		// The line end is CRLF: a bare LF here nobody sends.
		if !st.chunk.carriage {
			st.chunk.carriage = true
			n--
		}
		if n > 0 {
			st.chunked()
			n--
		}
	}
	return n == 0
}

const notHex = 0xff

// hexValue maps the lower-case hexadecimal digits.
var hexValue = func() (t [256]byte) {
	for i := range t {
		t[i] = notHex
	}
	for c := byte('0'); c <= '9'; c++ {
		t[c] = c - '0'
	}
	for c := byte('a'); c <= 'f'; c++ {
		t[c] = c - 'a' + 10
	}
	return t
}()
