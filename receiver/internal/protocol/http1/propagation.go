// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/tracecontext"
)

// remote is the trace context carried in a request head: the first in order of
// precedence (doc.go) that is valid. tracestate counts only beside a valid
// traceparent (W3C Trace Context section 3.3).
func (p *parser) remote(h *head) (r exchange.Remote) {
	if h.parents != 1 || !tracecontext.ParseTraceparent(h.parent, &r) {
		if h.others == nil {
			return exchange.Remote{}
		}
		var o tracecontext.Others
		readOthers(&o, h.others)
		return o.Remote()
	}
	r.Valid = true
	if !h.stated {
		return r
	}
	var joined [tracecontext.MaxState]byte
	state := joinStates(joined[:0], h.others)
	// A caller tends to send the same tracestate with every request.
	if string(state) != p.state {
		p.state = string(state)
	}
	r.State = p.state
	return r
}

// mayBeOther reports whether a header line that begins with an X may be one that
// others.read or tells looks at: X-B3-…, X-Amzn-…, X-Amz-…, X-Elastic-…,
// X-OpenSearch-…. Most lines that begin so are neither, and every request that came
// through a proxy has several.
func mayBeOther(l []byte) bool {
	if len(l) < 4 {
		return false
	}
	c := l[3] | 0x20
	return l[3] == '3' || c == 'm' || c == 'l' || c == 'p' && l[2]|0x20 == 'o'
}

// readOthers collects the headers in b, complete lines up to the empty one.
func readOthers(o *tracecontext.Others, b []byte) {
	for {
		l, rest, ok := line(b)
		if !ok || len(l) == 0 {
			return
		}
		b = rest
		switch l[0] | 0x20 {
		case 'b':
			if v, ok := value(l, "b3"); ok {
				o.Set(tracecontext.B3, v)
			}
		case 'u':
			if v, ok := value(l, "uber-trace-id"); ok {
				o.Set(tracecontext.Jaeger, v)
			}
		case 'x':
			if v, ok := value(l, "x-b3-traceid"); ok {
				o.Set(tracecontext.B3TraceID, v)
			} else if v, ok := value(l, "x-b3-spanid"); ok {
				o.Set(tracecontext.B3SpanID, v)
			} else if v, ok := value(l, "x-b3-parentspanid"); ok {
				o.Set(tracecontext.B3ParentSpanID, v)
			} else if v, ok := value(l, "x-b3-sampled"); ok {
				o.Set(tracecontext.B3Sampled, v)
			} else if v, ok := value(l, "x-b3-flags"); ok {
				o.Set(tracecontext.B3Flags, v)
			} else if v, ok := value(l, "x-amzn-trace-id"); ok {
				o.Set(tracecontext.XRay, v)
			}
		}
	}
}

// joinStates appends the entries of all tracestate headers in head, complete
// lines up to the empty one, to b: as many whole ones from the front as its
// capacity holds.
func joinStates(b, head []byte) []byte {
	for {
		l, rest, ok := line(head)
		if !ok || len(l) == 0 {
			return b
		}
		head = rest
		if v, ok := value(l, "tracestate"); ok {
			if b, ok = tracecontext.AppendState(b, v); !ok {
				return b
			}
		}
	}
}
