// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// maxState is how much of tracestate is kept, in bytes: what W3C Trace Context
// section 3.3.1.5 asks to propagate at least.
const maxState = 512

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

// decodeHex fills dst from 2*len(dst) digits and reports whether all of them
// are digits and whether any is not zero.
func decodeHex(dst, src []byte) (ok, nonzero bool) {
	var any, bad byte
	for i := range dst {
		hi, lo := hexValue[src[2*i]], hexValue[src[2*i+1]]
		bad |= hi | lo
		dst[i] = hi<<4 | lo&0x0f
		any |= dst[i]
	}
	return bad&0xf0 == 0, any != 0
}

// parseTraceparent parses the traceparent header (W3C Trace Context section
// 3.2). Of versions above 00 it takes the part that is known, as section 3.2.4
// says.
func parseTraceparent(v []byte, r *exchange.Remote) bool {
	if len(v) < parentLength || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return false
	}
	var version, flags [1]byte
	if ok, _ := decodeHex(version[:], v); !ok || version[0] == 0xff {
		return false
	}
	if len(v) > parentLength && (version[0] == 0 || v[parentLength] != '-') {
		return false
	}
	if ok, nonzero := decodeHex(r.TraceID[:], v[3:]); !ok || !nonzero {
		return false
	}
	if ok, nonzero := decodeHex(r.SpanID[:], v[36:]); !ok || !nonzero {
		return false
	}
	if ok, _ := decodeHex(flags[:], v[53:]); !ok {
		return false
	}
	r.Flags = flags[0]
	return true
}

// remote is the trace context carried in a request head. tracestate counts
// only beside a valid traceparent (section 3.3).
func (p *parser) remote(h *head) (r exchange.Remote) {
	if h.parents != 1 || !parseTraceparent(h.parent, &r) {
		return exchange.Remote{}
	}
	r.Valid = true
	if h.nstates == 0 {
		return r
	}
	var joined [maxState]byte
	state := joinState(joined[:0], h.states[:h.nstates])
	// A caller tends to send the same tracestate with every request.
	if string(state) != p.state {
		p.state = string(state)
	}
	r.State = p.state
	return r
}

// joinState appends the entries of all tracestate headers to b, as many whole
// ones from the front as its capacity holds.
func joinState(b []byte, headers [][]byte) []byte {
	for _, v := range headers {
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
				return b
			}
			if len(b) > 0 {
				b = append(b, ',')
			}
			b = append(b, entry...)
		}
	}
	return b
}
