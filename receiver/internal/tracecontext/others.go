// SPDX-License-Identifier: Apache-2.0

package tracecontext

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// sampled is the flag of W3C Trace Context section 3.2.2.5.1; the decisions of
// the other formats are put in its terms.
const sampled = 0x01

// Header is one of the headers of trace context that are not W3C's.
type Header uint8

const (
	B3 Header = iota
	B3TraceID
	B3SpanID
	B3ParentSpanID
	B3Sampled
	B3Flags
	Jaeger
	XRay
	headers
)

// names are the headers' names in lower case.
var names = [headers]string{
	"b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "uber-trace-id", "x-amzn-trace-id",
}

// String is the header's name in lower case.
func (h Header) String() string { return names[h] }

// Others are the headers of trace context that are not W3C's. They count only if
// there is no valid traceparent. The values have to stay until Remote is called.
type Others struct {
	fields [headers]field
}

// field is a header that may be there once. An empty value is none.
type field struct {
	value []byte
	n     uint8
}

// Set takes one header.
func (o *Others) Set(h Header, v []byte) {
	if len(v) > 0 {
		f := &o.fields[h]
		f.value = v
		f.n = min(f.n+1, 2)
	}
}

// Remote is the first context that is valid.
func (o *Others) Remote() (r exchange.Remote) {
	switch {
	case o.fields[B3].n == 1 && parseB3(o.fields[B3].value, &r):
	case o.parseMulti(&r):
	case o.fields[Jaeger].n == 1 && parseJaeger(o.fields[Jaeger].value, &r):
	case o.fields[XRay].n == 1 && parseXRay(o.fields[XRay].value, &r):
	default:
		return exchange.Remote{}
	}
	r.Valid = true
	return r
}

// parseB3 parses the single header of B3:
// trace-id "-" span-id ["-" state] ["-" parent-span-id]. A state without ids
// (b3: 0) is no context.
func parseB3(v []byte, r *exchange.Remote) bool {
	n := 32
	if len(v) > 16 && v[16] == '-' {
		n = 16
	}
	end := n + len("-") + 16
	if len(v) < end || v[n] != '-' || !parseB3IDs(v[:n], v[n+1:end], r) {
		return false
	}
	v = v[end:]
	r.Deferred = true
	const parent = len("-") + 16
	if len(v) == len("-1") || len(v) == len("-1")+parent {
		if v[0] != '-' || !parseB3State(v[1], r) {
			return false
		}
		v = v[2:]
	}
	// Who defers may name the parent all the same: Brave writes that.
	return len(v) == 0 || v[0] == '-' && isSpanID(v[1:])
}

func parseB3State(c byte, r *exchange.Remote) bool {
	switch c {
	case '0':
	case '1', 'd': // debug includes accept
		r.Flags = sampled
	default:
		return false
	}
	r.Deferred = false
	return true
}

// parseB3IDs fills in the ids of B3: a trace id of 32 or 16 digits, of which the
// shorter is padded on the left, and a span id of 16.
func parseB3IDs(traceID, spanID []byte, r *exchange.Remote) bool {
	*r = exchange.Remote{}
	if len(traceID) != 32 && len(traceID) != 16 || len(spanID) != 16 {
		return false
	}
	ok, nonzero := decodeHex(r.TraceID[16-len(traceID)/2:], traceID)
	if !ok || !nonzero {
		return false
	}
	ok, nonzero = decodeHex(r.SpanID[:], spanID)
	return ok && nonzero
}

// isSpanID reports whether v is what a span id looks like; some write zeros for
// none.
func isSpanID(v []byte) bool {
	var id [8]byte
	if len(v) != 2*len(id) {
		return false
	}
	ok, _ := decodeHex(id[:], v)
	return ok
}

// parseMulti parses the X-B3 headers. true and false are how decisions were
// written before there was a specification.
func (o *Others) parseMulti(r *exchange.Remote) bool {
	if o.fields[B3TraceID].n != 1 || o.fields[B3SpanID].n != 1 || o.fields[B3ParentSpanID].n > 1 || o.fields[B3Sampled].n > 1 || o.fields[B3Flags].n > 1 ||
		!parseB3IDs(o.fields[B3TraceID].value, o.fields[B3SpanID].value, r) {
		return false
	}
	if o.fields[B3ParentSpanID].n > 0 && !isSpanID(o.fields[B3ParentSpanID].value) {
		return false
	}
	switch v := o.fields[B3Sampled].value; {
	case len(v) == 0:
		r.Deferred = true
	case string(v) == "1", equalFold(v, "true"):
		r.Flags = sampled
	case string(v) == "0", equalFold(v, "false"):
	default:
		return false
	}
	if string(o.fields[B3Flags].value) == "1" { // debug
		r.Flags, r.Deferred = sampled, false
	}
	return true
}

// parseJaeger parses uber-trace-id:
// trace-id ":" span-id ":" parent-span-id ":" flags. Its numbers may be without
// their leading zeros, its colons percent-encoded. The parent is deprecated and
// may be anything. Of the flags the lowest says sampled; the next, debug, means
// nothing without it.
func parseJaeger(v []byte, r *exchange.Remote) bool {
	*r = exchange.Remote{}
	var parts [3][]byte
	for i := range parts {
		var ok bool
		if parts[i], v, ok = cutColon(v); !ok {
			return false
		}
	}
	var flags [8]byte
	if ok, nonzero := decodeNumber(r.TraceID[:], parts[0]); !ok || !nonzero {
		return false
	}
	if ok, nonzero := decodeNumber(r.SpanID[:], parts[1]); !ok || !nonzero {
		return false
	}
	if ok, _ := decodeNumber(flags[:], v); !ok {
		return false
	}
	r.Flags = flags[7] & sampled
	return true
}

// cutColon cuts v at the first colon, which may be percent-encoded.
func cutColon(v []byte) (before, after []byte, ok bool) {
	for i, c := range v {
		if c == ':' {
			return v[:i], v[i+1:], true
		}
		if c == '%' && len(v) >= i+len("%3A") && v[i+1] == '3' && v[i+2]|0x20 == 'a' {
			return v[:i], v[i+len("%3A"):], true
		}
	}
	return nil, nil, false
}

// decodeNumber is decodeHex for at least one and up to 2*len(dst) digits, of at
// most 32.
func decodeNumber(dst, src []byte) (ok, nonzero bool) {
	n := 2 * len(dst)
	if len(src) == 0 || len(src) > n {
		return false, false
	}
	digits := [32]byte([]byte("00000000000000000000000000000000"))
	copy(digits[n-len(src):n], src)
	return decodeHex(dst, digits[:n])
}

// parseXRay parses X-Amzn-Trace-Id: fields name "=" value, in any order, with
// semicolons between them. It takes Root, Parent and Sampled; others (Self,
// Lineage, whatever an application adds) are passed over. A load balancer sends
// Root alone: that names the trace, but no parent. Sampled=? asks for a
// decision.
func parseXRay(v []byte, r *exchange.Remote) bool {
	*r = exchange.Remote{Deferred: true}
	if bytes.IndexByte(v, ',') >= 0 {
		return false // two headers made one (RFC 9110 section 5.3)
	}
	var root, parent, decision bool
	for len(v) > 0 {
		f := v
		if i := bytes.IndexByte(v, ';'); i >= 0 {
			f, v = v[:i], v[i+1:]
		} else {
			v = nil
		}
		i := bytes.IndexByte(f, '=')
		if i < 0 {
			continue
		}
		value := trim(f[i+1:])
		switch string(trim(f[:i])) {
		case "Root":
			if root || !parseRoot(value, r) {
				return false
			}
			root = true
		case "Parent":
			if parent || len(value) != 16 {
				return false
			}
			parent = true
			if ok, nonzero := decodeHex(r.SpanID[:], value); !ok || !nonzero {
				return false
			}
		case "Sampled":
			if decision {
				return false
			}
			decision = true
			switch string(value) {
			case "1":
				r.Flags, r.Deferred = sampled, false
			case "0":
				r.Deferred = false
			}
		}
	}
	return root
}

// parseRoot parses an X-Ray trace id: "1-", the time in up to eight digits, "-",
// 24 more.
func parseRoot(v []byte, r *exchange.Remote) bool {
	if len(v) < len("1-") || v[0] != '1' || v[1] != '-' {
		return false
	}
	v = v[2:]
	i := bytes.IndexByte(v, '-')
	if i < 0 || len(v) != i+1+24 {
		return false
	}
	ok, nonzero := decodeNumber(r.TraceID[:4], v[:i])
	if !ok {
		return false
	}
	ok, more := decodeHex(r.TraceID[4:], v[i+1:])
	return ok && (nonzero || more)
}
