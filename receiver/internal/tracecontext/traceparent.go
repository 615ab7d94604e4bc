// SPDX-License-Identifier: Apache-2.0

package tracecontext

import (
	"bytes"
	"encoding/binary"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// MaxState is how much of tracestate is kept, in bytes: what W3C Trace Context
// section 3.3.1.5 asks to propagate at least.
const MaxState = 512

// parentLength is the length of version 00:
// version "-" trace-id "-" parent-id "-" trace-flags.
const parentLength = 2 + 1 + 32 + 1 + 16 + 1 + 2

const notHex = 0xff

// hexValue maps lower-case hexadecimal digits; upper case is invalid in
// traceparent.
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

// decodeHex fills dst (a multiple of four bytes) from 2*len(dst) lower-case
// digits and reports whether all of them are digits and whether any is not
// zero. It works on eight digits at a time.
func decodeHex(dst, src []byte) (ok, nonzero bool) {
	const ones = 0x0101010101010101
	var bad, any uint64
	for len(dst) >= 4 {
		x := binary.LittleEndian.Uint64(src)
		// The value of each digit, if it is one, and what that value is
		// written as: anything else, capitals included, differs.
		v := x&(0x0f*ones) + (x>>6&ones)*9
		letter := (v + 6*ones) >> 4 & ones
		bad |= x ^ (v + '0'*ones + letter*('a'-'0'-10))
		bad |= v & (0xf0 * ones)
		any |= v
		v = (v<<4 | v>>8) & 0x00ff00ff00ff00ff
		v = (v | v>>8) & 0x0000ffff0000ffff
		binary.LittleEndian.PutUint32(dst, uint32(v|v>>16))
		dst, src = dst[4:], src[8:]
	}
	return bad == 0, any != 0
}

// hexByte is the value of two lower-case digits.
func hexByte(src []byte) (b byte, ok bool) {
	hi, lo := hexValue[src[0]], hexValue[src[1]]
	return hi<<4 | lo&0x0f, (hi|lo)&0xf0 == 0
}

// ParseTraceparent parses the traceparent header (W3C Trace Context section
// 3.2). Of versions above 00 it takes the part that is known, as section 3.2.4
// says.
func ParseTraceparent(v []byte, r *exchange.Remote) bool {
	if len(v) < parentLength || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return false
	}
	version, ok := hexByte(v)
	if !ok || version == 0xff {
		return false
	}
	if len(v) > parentLength && (version == 0 || v[parentLength] != '-') {
		return false
	}
	if ok, nonzero := decodeHex(r.TraceID[:], v[3:]); !ok || !nonzero {
		return false
	}
	if ok, nonzero := decodeHex(r.SpanID[:], v[36:]); !ok || !nonzero {
		return false
	}
	r.Flags, ok = hexByte(v[53:])
	return ok
}

// ParseLink parses a traceparent that came with a message, as ParseTraceparent does.
func ParseLink(v []byte) (l exchange.Link, ok bool) {
	var r exchange.Remote
	if !ParseTraceparent(v, &r) {
		return l, false
	}
	return exchange.Link{TraceID: r.TraceID, SpanID: r.SpanID, Flags: r.Flags}, true
}

// AppendState appends the entries of one tracestate header to those of earlier ones
// in b: as many whole ones as its capacity holds. It reports whether all did.
func AppendState(b, v []byte) ([]byte, bool) {
	for len(v) > 0 {
		entry := v
		if i := bytes.IndexByte(v, ','); i >= 0 {
			entry, v = v[:i], v[i+1:]
		} else {
			v = nil
		}
		entry = trim(entry)
		if len(entry) == 0 {
			continue
		}
		need := len(entry)
		if len(b) > 0 {
			need++
		}
		if len(b)+need > cap(b) {
			return b, false
		}
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(b, entry...)
	}
	return b, true
}

// trim removes optional whitespace (RFC 9110 section 5.6.3) at both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// equalFold compares b with a lower-case ASCII word, ignoring case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		c := b[i]
		if c-'A' <= 'Z'-'A' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
