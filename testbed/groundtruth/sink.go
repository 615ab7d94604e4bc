// SPDX-License-Identifier: Apache-2.0

package groundtruth

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // what exporters compress with
)

// Span is a received span with its resource, flattened.
type Span struct {
	TraceID    pcommon.TraceID
	SpanID     pcommon.SpanID
	ParentID   pcommon.SpanID
	Name       string
	Kind       ptrace.SpanKind
	Status     ptrace.StatusCode
	Start, End int64 // ns since the epoch
	Attributes pcommon.Map
	Resource   pcommon.Map
	Received   time.Time
	Links      []pcommon.TraceID
}

// Text is the value of a span attribute as a string; "" if absent.
func (s *Span) Text(key string) string {
	if v, ok := s.Attributes.Get(key); ok {
		return v.AsString()
	}
	return ""
}

// Int is the value of an integer span attribute.
func (s *Span) Int(key string) (int64, bool) {
	v, ok := s.Attributes.Get(key)
	if !ok || v.Type() != pcommon.ValueTypeInt {
		return 0, false
	}
	return v.Int(), true
}

// PID is the resource's process.pid; 0 if absent.
func (s *Span) PID() int {
	if v, ok := s.Resource.Get("process.pid"); ok {
		return int(v.Int())
	}
	return 0
}

// Sink is an OTLP/gRPC server that keeps everything.
type Sink struct {
	server   *grpc.Server
	endpoint string

	mu      sync.Mutex
	spans   []*Span
	metrics map[seriesKey]*Point
	// last is when spans came last, as Unix ns.
	last atomic.Int64
}

// NewSink listens on a free port of the loopback interface.
func NewSink() (*Sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := &Sink{
		server:   grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20)),
		endpoint: l.Addr().String(),
		metrics:  make(map[seriesKey]*Point),
	}
	ptraceotlp.RegisterGRPCServer(s.server, &traceService{sink: s})
	pmetricotlp.RegisterGRPCServer(s.server, &metricService{sink: s})
	go func() { _ = s.server.Serve(l) }()
	return s, nil
}

// Endpoint is host:port.
func (s *Sink) Endpoint() string { return s.endpoint }

// Close stops the server.
func (s *Sink) Close() { s.server.Stop() }

// Spans returns all spans so far.
func (s *Sink) Spans() []*Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spans[:len(s.spans):len(s.spans)]
}

// Count is the number of spans so far.
func (s *Sink) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.spans)
}

// Find waits until a span for which match is true has come.
func (s *Sink) Find(ctx context.Context, match func(*Span) bool) (*Span, error) {
	seen := 0
	for {
		spans := s.Spans()
		for ; seen < len(spans); seen++ {
			if match(spans[seen]) {
				return spans[seen], nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}

type traceService struct {
	ptraceotlp.UnimplementedGRPCServer
	sink *Sink
}

func (t *traceService) Export(_ context.Context, req ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	t.sink.addTraces(req.Traces())
	return ptraceotlp.NewExportResponse(), nil
}

func (s *Sink) addTraces(td ptrace.Traces) {
	now := time.Now()
	s.last.Store(now.UnixNano())
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, sp := range ss.Spans().All() {
				var links []pcommon.TraceID
				for _, l := range sp.Links().All() {
					links = append(links, l.TraceID())
				}
				s.spans = append(s.spans, &Span{
					TraceID: sp.TraceID(), SpanID: sp.SpanID(), ParentID: sp.ParentSpanID(),
					Name: sp.Name(), Kind: sp.Kind(), Status: sp.Status().Code(),
					Start: int64(sp.StartTimestamp()), End: int64(sp.EndTimestamp()),
					Attributes: sp.Attributes(), Resource: rs.Resource().Attributes(), Received: now, Links: links,
				})
			}
		}
	}
}

// Point is the newest state of one metric series.
type Point struct {
	Metric     string
	Unit       string
	Attributes map[string]any
	Resource   map[string]any
	// Count and Sum are of histograms; Value of sums and gauges.
	Count    uint64
	Sum      float64
	Value    float64
	Time     int64
	Monotone bool
}

type seriesKey struct {
	metric, resource, attributes string
	start                        int64
}

type metricService struct {
	pmetricotlp.UnimplementedGRPCServer
	sink *Sink
}

func (m *metricService) Export(_ context.Context, req pmetricotlp.ExportRequest) (pmetricotlp.ExportResponse, error) {
	m.sink.addMetrics(req.Metrics())
	return pmetricotlp.NewExportResponse(), nil
}

func (s *Sink) addMetrics(md pmetric.Metrics) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rm := range md.ResourceMetrics().All() {
		resource := rm.Resource().Attributes().AsRaw()
		put := func(name, unit string, attributes pcommon.Map, start, at pcommon.Timestamp, p Point) {
			p.Metric, p.Unit, p.Attributes, p.Resource, p.Time = name, unit, attributes.AsRaw(), resource, int64(at)
			k := seriesKey{name, fmt.Sprint(resource), fmt.Sprint(p.Attributes), int64(start)}
			if old, ok := s.metrics[k]; !ok || old.Time <= p.Time {
				s.metrics[k] = &p
			}
		}
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				switch m.Type() {
				case pmetric.MetricTypeHistogram:
					for _, d := range m.Histogram().DataPoints().All() {
						put(m.Name(), m.Unit(), d.Attributes(), d.StartTimestamp(), d.Timestamp(), Point{Count: d.Count(), Sum: d.Sum()})
					}
				case pmetric.MetricTypeExponentialHistogram:
					for _, d := range m.ExponentialHistogram().DataPoints().All() {
						put(m.Name(), m.Unit(), d.Attributes(), d.StartTimestamp(), d.Timestamp(), Point{Count: d.Count(), Sum: d.Sum()})
					}
				case pmetric.MetricTypeSum:
					for _, d := range m.Sum().DataPoints().All() {
						put(m.Name(), m.Unit(), d.Attributes(), d.StartTimestamp(), d.Timestamp(),
							Point{Value: number(d), Monotone: m.Sum().IsMonotonic()})
					}
				case pmetric.MetricTypeGauge:
					for _, d := range m.Gauge().DataPoints().All() {
						put(m.Name(), m.Unit(), d.Attributes(), 0, d.Timestamp(), Point{Value: number(d)})
					}
				}
			}
		}
	}
}

func number(d pmetric.NumberDataPoint) float64 {
	if d.ValueType() == pmetric.NumberDataPointValueTypeInt {
		return float64(d.IntValue())
	}
	return d.DoubleValue()
}

// Points returns the newest state of every series of a metric.
func (s *Sink) Points(metric string) []*Point {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*Point
	for k, p := range s.metrics {
		if k.metric == metric {
			out = append(out, p)
		}
	}
	return out
}
