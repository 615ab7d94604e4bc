// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/tracecontext"
)

// name of a header field, as far as anybody wants to know.
type name uint8

const (
	// nameOther: a field nobody looks at.
	nameOther name = iota
	// nameUnknown: a field whose name is not known.
	nameUnknown
	nameAuthority
	nameMethod
	namePath
	nameScheme
	nameStatus
	nameProtocol
	nameOtherPseudo
	nameContentType
	nameGRPCStatus
	nameGRPCTimeout
	nameHost
	nameTraceparent
	nameTracestate
	nameUserAgent
	// From here on the tracecontext.Headers, and the httpconv.Fields.
	nameOthers
	nameTelling       name = 64
	nameAuthorization      = nameTelling + name(httpconv.FieldAuthorization)
)

// nameOf looks a name up.
func nameOf(b []byte) name {
	if len(b) > 0 && b[0] == ':' {
		switch string(b) {
		case ":authority":
			return nameAuthority
		case ":method":
			return nameMethod
		case ":path":
			return namePath
		case ":scheme":
			return nameScheme
		case ":status":
			return nameStatus
		case ":protocol":
			return nameProtocol
		}
		return nameOtherPseudo
	}
	switch string(b) {
	case "content-type":
		return nameContentType
	case "grpc-status":
		return nameGRPCStatus
	case "grpc-timeout":
		return nameGRPCTimeout
	case "host":
		return nameHost
	case "traceparent":
		return nameTraceparent
	case "tracestate":
		return nameTracestate
	case "user-agent":
		return nameUserAgent
	case "b3":
		return nameOthers + name(tracecontext.B3)
	case "x-b3-traceid":
		return nameOthers + name(tracecontext.B3TraceID)
	case "x-b3-spanid":
		return nameOthers + name(tracecontext.B3SpanID)
	case "x-b3-parentspanid":
		return nameOthers + name(tracecontext.B3ParentSpanID)
	case "x-b3-sampled":
		return nameOthers + name(tracecontext.B3Sampled)
	case "x-b3-flags":
		return nameOthers + name(tracecontext.B3Flags)
	case "uber-trace-id":
		return nameOthers + name(tracecontext.Jaeger)
	case "x-amzn-trace-id":
		return nameOthers + name(tracecontext.XRay)
	}
	if f, ok := httpconv.FieldOf(b); ok {
		return nameTelling + name(f)
	}
	return nameOther
}

// pseudo reports whether it is the name of a pseudo-header field.
func (n name) pseudo() bool { return n >= nameAuthority && n <= nameOtherPseudo }

// header is what is wanted of a header section (RFC 9113 section 8). Its slices are
// parts of buf, which is reused.
type header struct {
	method, path, scheme, authority, host, protocol []byte
	userAgent, contentType                          []byte
	grpcStatus, grpcTimeout                         []byte
	parent                                          []byte
	others                                          tracecontext.Others
	// status is 0 if there is none.
	status int
	// fields counts all; unknown those of which the name or a wanted value is not
	// known.
	fields, unknown int
	parents         uint8
	hasOthers       bool
	// pseudo: the first field was a pseudo-header field, or may have been.
	pseudo bool
	// pathCut: the path was longer than httpconv.MaxTarget.
	pathCut bool

	// telling are fields that tell an application.
	telling []telling

	state []byte // of tracestate; its capacity is tracecontext.MaxState
	buf   []byte
}

// telling is a field that tells an application, or something about what it does.
type telling struct {
	field httpconv.Field
	value []byte
}

// maxTelling bounds those kept of a section.
const maxTelling = 16

// tell keeps one.
func (h *header) tell(f httpconv.Field, v []byte) {
	if len(h.telling) < maxTelling {
		h.telling = append(h.telling, telling{f, h.keep(v, maxValue)})
	}
}

// maxValue bounds the values kept, apart from the path, in bytes.
const maxValue = 1 << 10

func (h *header) reset() {
	buf, state := h.buf[:0], h.state[:0]
	if cap(state) == 0 {
		state = make([]byte, 0, tracecontext.MaxState)
	}
	*h = header{buf: buf, state: state, telling: h.telling[:0]}
}

// keep copies a value: entries of the dynamic table may go while their section is
// still being decoded.
func (h *header) keep(v []byte, limit int) []byte {
	from := len(h.buf)
	h.buf = append(h.buf, v[:min(len(v), limit)]...)
	return h.buf[from:len(h.buf):len(h.buf)]
}

// hide counts a field that is not known.
func (h *header) hide() {
	if h.fields == 0 {
		h.pseudo = true
	}
	h.fields++
	h.unknown++
}

// set takes a field. Of fields that may be there once only, the first counts.
func (h *header) set(n name, v []byte) {
	if h.fields == 0 {
		h.pseudo = n.pseudo()
	}
	h.fields++
	once := func(to *[]byte) {
		if *to == nil {
			*to = h.keep(v, maxValue)
		}
	}
	switch n {
	case nameOther, nameOtherPseudo:
	case nameUnknown:
		h.unknown++
	case nameAuthority:
		once(&h.authority)
	case nameMethod:
		once(&h.method)
	case namePath:
		if h.path == nil {
			h.path, h.pathCut = h.keep(v, httpconv.MaxTarget), len(v) > httpconv.MaxTarget
		}
	case nameScheme:
		once(&h.scheme)
	case nameStatus:
		if h.status == 0 {
			h.status = parseStatus(v)
		}
	case nameProtocol:
		once(&h.protocol)
	case nameContentType:
		once(&h.contentType)
	case nameGRPCStatus:
		once(&h.grpcStatus)
	case nameGRPCTimeout:
		once(&h.grpcTimeout)
	case nameHost:
		once(&h.host)
	case nameUserAgent:
		once(&h.userAgent)
	case nameTraceparent:
		h.parent = h.keep(v, maxValue)
		h.parents = min(h.parents+1, 2)
	case nameTracestate:
		h.state, _ = tracecontext.AppendState(h.state, v)
	default:
		if n >= nameTelling {
			h.tell(httpconv.Field(n-nameTelling), v)
			return
		}
		h.others.Set(tracecontext.Header(n-nameOthers), h.keep(v, maxValue))
		h.hasOthers = true
	}
}

// parseStatus parses three digits; 0 if they are not.
func parseStatus(v []byte) int {
	if len(v) != 3 {
		return 0
	}
	n := 0
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// rpc is what a content type says about remote procedure calls.
type rpc uint8

const (
	rpcNone rpc = iota
	rpcGRPC
	rpcWeb     // application/grpc-web: messages as they are
	rpcWebText // application/grpc-web-text: in base64
)

// rpcOf classifies a content type
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md,
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md).
func rpcOf(contentType []byte) rpc {
	for _, t := range [...]struct {
		prefix string
		rpc    rpc
	}{{"application/grpc-web-text", rpcWebText}, {"application/grpc-web", rpcWeb}, {"application/grpc", rpcGRPC}} {
		if n := len(t.prefix); len(contentType) >= n && bytes.EqualFold(contentType[:n], []byte(t.prefix)) {
			if len(contentType) == n || contentType[n] == '+' || contentType[n] == ';' || contentType[n] == ' ' {
				return t.rpc
			}
		}
	}
	return rpcNone
}

// parseTimeout is the value of grpc-timeout in ns: up to eight digits and a unit; 0 if
// it is none.
func parseTimeout(v []byte) uint64 {
	if len(v) < 2 || len(v) > 9 {
		return 0
	}
	n := uint64(0)
	for _, c := range v[:len(v)-1] {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + uint64(c-'0')
	}
	switch v[len(v)-1] {
	case 'n':
		return n
	case 'u':
		return n * 1e3
	case 'm':
		return n * 1e6
	case 'S':
		return n * 1e9
	case 'M':
		return n * 60e9
	case 'H':
		return n * 3600e9
	}
	return 0
}
