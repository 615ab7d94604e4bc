// SPDX-License-Identifier: Apache-2.0

package groundtruth

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
)

// Fake makes the spans a perfect collector would make of records: what the
// checker and the workloads themselves are tested with.
func Fake(records []*Record) ptrace.Traces {
	td := ptrace.NewTraces()
	for i, r := range records {
		rs := td.ResourceSpans().AppendEmpty()
		pid := r.PID
		if len(r.PIDs) > 0 {
			pid = r.PIDs[0]
		}
		rs.Resource().Attributes().PutInt("process.pid", int64(pid))
		fakeSpan(r, uint64(i+1), rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty())
	}
	return td
}

func fakeSpan(r *Record, n uint64, s ptrace.Span) {
	var traceID pcommon.TraceID
	var spanID, parentID pcommon.SpanID
	binary.BigEndian.PutUint64(spanID[:], n)
	binary.BigEndian.PutUint64(traceID[:], n)
	if parts := strings.Split(r.Traceparent, "-"); len(parts) == 4 {
		_, _ = hex.Decode(traceID[:], []byte(parts[1]))
		_, _ = hex.Decode(parentID[:], []byte(parts[2]))
	}
	s.SetTraceID(traceID)
	s.SetSpanID(spanID)
	s.SetParentSpanID(parentID)
	s.SetKind(ptrace.SpanKindServer)
	if r.Role == Client {
		s.SetKind(ptrace.SpanKindClient)
	}
	start, end := r.StartMin, r.EndMax
	if r.StartMax != 0 && (r.Role == Server || start == 0) {
		start = r.StartMax
	}
	s.SetStartTimestamp(pcommon.Timestamp(start))
	s.SetEndTimestamp(pcommon.Timestamp(end))
	a := s.Attributes()
	s.SetName(r.Method)
	a.PutStr("http.request.method", r.Method)
	if !knownMethods[r.Method] {
		s.SetName("HTTP")
		a.PutStr("http.request.method", "_OTHER")
		a.PutStr("http.request.method_original", r.Method)
	}
	a.PutStr("network.protocol.version", r.Version)
	a.PutStr("network.peer.address", "127.0.0.1")
	a.PutInt("network.peer.port", int64(r.PeerPort))
	a.PutInt("server.port", int64(r.ServerPort))
	a.PutStr("server.address", "127.0.0.1")
	switch {
	case r.Anonymous:
	case r.Role == Client:
		a.PutStr("url.full", fmt.Sprintf("http://127.0.0.1:%d%s", r.ServerPort, r.Target()))
	default:
		a.PutStr("url.scheme", "http")
		a.PutStr("url.path", r.Path)
		if r.Query != "" {
			a.PutStr("url.query", r.Query)
		}
	}
	if r.Role == Server {
		a.PutStr("client.address", "127.0.0.1")
		a.PutStr("user_agent.original", r.UserAgent)
	}
	if r.Status != 0 {
		a.PutInt("http.response.status_code", int64(r.Status))
	}
	if r.Status >= 500 || r.Role == Client && r.Status >= 400 {
		a.PutStr("error.type", strconv.Itoa(r.Status))
		s.Status().SetCode(ptrace.StatusCodeError)
	}
	if r.Error {
		a.PutStr("error.type", "eof")
		s.Status().SetCode(ptrace.StatusCodeError)
	}
}

// Send exports traces the way a collector does.
func Send(ctx context.Context, endpoint string, td ptrace.Traces) error {
	c, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = ptraceotlp.NewGRPCClient(c).Export(ctx, ptraceotlp.NewExportRequestFromTraces(td))
	return err
}
