// SPDX-License-Identifier: Apache-2.0

package causality

import (
	"context"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
)

// Span is what causality needs of a span; hundreds of thousands are kept.
type Span struct {
	TraceID    pcommon.TraceID
	SpanID     pcommon.SpanID
	ParentID   pcommon.SpanID
	Client     bool
	Start, End int64 // ns since the epoch
	PID        int
	Path       string
	// Method is how the receiver found the parent.
	Method string
	Links  int
	// Extra are attributes that help with debugging: thread.*, ebpf.*
	Extra string
}

// parentMethod is the attribute in which the receiver says how it found the
// parent.
const parentMethod = "ebpf.parent.method"

// Sink is an OTLP/gRPC server that keeps spans. groundtruth's keeps every
// attribute, but no links.
type Sink struct {
	ptraceotlp.UnimplementedGRPCServer
	server   *grpc.Server
	endpoint string

	mu    sync.Mutex
	spans []*Span
	last  time.Time
}

// NewSink listens on a free port of the loopback interface.
func NewSink() (*Sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Sink{server: grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20)), endpoint: l.Addr().String()}
	ptraceotlp.RegisterGRPCServer(s.server, s)
	go func() { _ = s.server.Serve(l) }()
	return s, nil
}

// Endpoint is host:port.
func (s *Sink) Endpoint() string { return s.endpoint }

// Close stops the server.
func (s *Sink) Close() { s.server.Stop() }

// Spans returns all spans so far, and when the last of them came.
func (s *Sink) Spans() ([]*Span, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spans[:len(s.spans):len(s.spans)], s.last
}

// Export is called by the collector.
func (s *Sink) Export(_ context.Context, req ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = time.Now()
	for _, rs := range req.Traces().ResourceSpans().All() {
		pid := 0
		if v, ok := rs.Resource().Attributes().Get("process.pid"); ok {
			pid = int(v.Int())
		}
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				s.spans = append(s.spans, newSpan(span, pid))
			}
		}
	}
	return ptraceotlp.NewExportResponse(), nil
}

func newSpan(from ptrace.Span, pid int) *Span {
	s := &Span{
		TraceID: from.TraceID(), SpanID: from.SpanID(), ParentID: from.ParentSpanID(), Client: from.Kind() == ptrace.SpanKindClient,
		Start: int64(from.StartTimestamp()), End: int64(from.EndTimestamp()), PID: pid, Links: from.Links().Len(),
	}
	var extra []string
	for k, v := range from.Attributes().All() {
		switch {
		case k == "url.path":
			s.Path = v.Str()
		case k == "url.full":
			if u, err := url.Parse(v.Str()); err == nil {
				s.Path = u.EscapedPath()
			}
		case k == parentMethod:
			s.Method = v.AsString()
		case strings.HasPrefix(k, "ebpf.tcp."): // says nothing about parents
		case strings.HasPrefix(k, "ebpf.") || strings.HasPrefix(k, "thread."):
			extra = append(extra, k+"="+v.AsString())
		}
	}
	s.Extra = strings.Join(extra, " ")
	return s
}
