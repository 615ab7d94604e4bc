// SPDX-License-Identifier: Apache-2.0

package examplestest

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // what the exporter compresses with
)

// ourselves limits the receiver to this process, which is service and client.
func ourselves() string {
	return fmt.Sprintf("yaml:receivers::ebpf::discovery: {include: [{pids: [%d], service_name: examples}]}", os.Getpid())
}

// span is what the tests look at.
type span struct {
	trace pcommon.TraceID
	kind  ptrace.SpanKind
	path  string
	error bool
	from  string // namespace, pod and service
}

// backend collects what OTLP brings.
type backend struct {
	ptraceotlp.UnimplementedGRPCServer
	address string

	mu      sync.Mutex
	spans   []span
	metrics map[string]int // points, by name of the metric
	refused int            // requests without the right to be here
}

// grpcBackend is an OTLP/gRPC server, Jaeger as it were.
func grpcBackend(t *testing.T) *backend {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &backend{address: listener.Addr().String(), metrics: map[string]int{}}
	server := grpc.NewServer()
	ptraceotlp.RegisterGRPCServer(server, b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return b
}

// Export implements ptraceotlp.GRPCServer.
func (b *backend) Export(_ context.Context, request ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	b.add(request.Traces())
	return ptraceotlp.NewExportResponse(), nil
}

// httpBackend is an OTLP/HTTP server that wants a header.
func httpBackend(t *testing.T, header, value string) *backend {
	b := &backend{metrics: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(header) != value {
			b.mu.Lock()
			b.refused++
			b.mu.Unlock()
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		unzipped, err := gzip.NewReader(r.Body)
		if !assert.NoError(t, err) {
			return
		}
		body, err := io.ReadAll(unzipped)
		if !assert.NoError(t, err) {
			return
		}
		switch r.URL.Path {
		case "/otlp/v1/traces":
			request := ptraceotlp.NewExportRequest()
			if assert.NoError(t, request.UnmarshalProto(body)) {
				b.add(request.Traces())
			}
		case "/otlp/v1/metrics":
			request := pmetricotlp.NewExportRequest()
			if !assert.NoError(t, request.UnmarshalProto(body)) {
				return
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, rm := range request.Metrics().ResourceMetrics().All() {
				for _, sm := range rm.ScopeMetrics().All() {
					for _, metric := range sm.Metrics().All() {
						b.metrics[metric.Name()]++
					}
				}
			}
		default:
			t.Errorf("nothing is sent to %s", r.URL.Path)
		}
	}))
	t.Cleanup(server.Close)
	b.address = server.URL + "/otlp"
	return b
}

func (b *backend) add(td ptrace.Traces) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, rs := range td.ResourceSpans().All() {
		var from []string
		for _, key := range []string{"k8s.namespace.name", "k8s.pod.name", "service.name"} {
			if value, ok := rs.Resource().Attributes().Get(key); ok {
				from = append(from, value.Str())
			}
		}
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				path, ok := s.Attributes().Get("url.path")
				if !ok {
					path, ok = s.Attributes().Get("url.full")
				}
				if !ok {
					continue
				}
				_, after, _ := strings.Cut(path.Str(), "://")
				if after != "" {
					_, after, _ = strings.Cut(after, "/")
					path = pcommon.NewValueStr("/" + after)
				}
				b.spans = append(b.spans, span{
					s.TraceID(), s.Kind(), path.Str(), s.Status().Code() == ptrace.StatusCodeError, strings.Join(from, "/"),
				})
			}
		}
	}
}

// of are the spans of requests for paths that begin like this.
func (b *backend) of(prefix string) []span {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []span
	for _, s := range b.spans {
		if strings.HasPrefix(s.path, prefix) {
			found = append(found, s)
		}
	}
	return found
}

func (b *backend) points(metric string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.metrics[metric]
}

func (b *backend) refusals() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused
}

// freePort is a TCP port of 127.0.0.1 that nobody listens on.
func freePort(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
