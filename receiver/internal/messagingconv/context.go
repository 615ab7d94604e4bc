// SPDX-License-Identifier: Apache-2.0

package messagingconv

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// parentLength is the length of version 00 of traceparent:
// version "-" trace-id "-" parent-id "-" trace-flags.
const parentLength = 2 + 1 + 32 + 1 + 16 + 1 + 2

// ParseTraceparent parses the value that a message carries (W3C Trace Context section
// 3.2). Of versions above 00 it takes the part that is known, as section 3.2.4 says.
func ParseTraceparent(v []byte) (l exchange.Link, ok bool) {
	if len(v) < parentLength || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return l, false
	}
	var version, flags [1]byte
	if !lowerHex(version[:], v[:2]) || version[0] == 0xff || len(v) > parentLength && (version[0] == 0 || v[parentLength] != '-') {
		return l, false
	}
	if !lowerHex(l.TraceID[:], v[3:35]) || !lowerHex(l.SpanID[:], v[36:52]) || !lowerHex(flags[:], v[53:55]) {
		return l, false
	}
	l.Flags = flags[0]
	return l, !l.TraceID.IsEmpty() && !l.SpanID.IsEmpty()
}

// lowerHex decodes lower-case digits: capitals are invalid in traceparent.
func lowerHex(dst, src []byte) bool {
	for i := range dst {
		hi, lo := digit(src[2*i]), digit(src[2*i+1])
		if hi|lo > 0xf {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

// digit is a digit's value, 0xff if it is none.
func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}
