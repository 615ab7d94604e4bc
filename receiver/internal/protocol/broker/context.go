// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// maxState is how much of a tracestate is kept, in bytes: what W3C Trace Context section
// 3.3.1.5 asks to propagate at least.
const maxState = 512

// Traceparent adds the context that a message carries (W3C Trace Context section 3.2) to
// those the exchange links to.
func (s *Slot) Traceparent(v []byte) {
	var l exchange.Link
	if len(v) < 55 || v[2] != '-' || v[35] != '-' || v[52] != '-' || len(v) > 55 && (v[0] == '0' && v[1] == '0' || v[55] != '-') {
		return
	}
	var version, flags [1]byte
	if !unhex(version[:], v) || version[0] == 0xff || !unhex(l.TraceID[:], v[3:]) || !unhex(l.SpanID[:], v[36:]) || !unhex(flags[:], v[53:]) {
		return
	}
	l.Flags = flags[0]
	if l.TraceID.IsEmpty() || l.SpanID.IsEmpty() {
		return
	}
	s.D.Contexts = append(s.D.Contexts, l)
}

// Tracestate adds the state of the same message.
func (s *Slot) Tracestate(v []byte) {
	if n := len(s.D.Contexts); n > 0 && len(v) <= maxState {
		s.D.Contexts[n-1].State = s.D.Strings.String(v)
	}
}

// unhex decodes lower-case digits, as many as dst has room for.
func unhex(dst, src []byte) bool {
	for i := range dst {
		hi, lo := nibble(src[2*i]), nibble(src[2*i+1])
		if hi|lo > 15 {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}
