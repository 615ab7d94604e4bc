// SPDX-License-Identifier: Apache-2.0

package red

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/workload"
)

var testProtocol = &exchange.Protocol{
	Name: "test",
	Server: []exchange.Instrument{
		{Name: "test.server.duration", Description: "How long.", Unit: "s", Bounds: []float64{0.01, 0.1, 1}},
		{Name: "test.server.size", Description: "How big.", Unit: "By", Bounds: []float64{0, 100, 1000}},
	},
	Client: []exchange.Instrument{
		{Name: "test.client.duration", Description: "How long.", Unit: "s", Bounds: []float64{0.01, 0.1, 1}},
	},
	Active: exchange.Instrument{Name: "test.server.active", Description: "How many.", Unit: "{request}"},
}

// detail is a protocol with one attribute.
type detail struct {
	protocol   *exchange.Protocol
	label      string
	size       float64
	suppressed bool
}

func (d *detail) Protocol() *exchange.Protocol                            { return d.protocol }
func (d *detail) SpanName(*exchange.Exchange) string                      { return "" }
func (d *detail) SpanKind(*exchange.Exchange) ptrace.SpanKind             { return 0 }
func (d *detail) SpanStatus(*exchange.Exchange) ptrace.StatusCode         { return 0 }
func (d *detail) PutSpanAttributes(*exchange.Exchange, pcommon.Map)       {}
func (d *detail) Suppressed(*exchange.Exchange) (bool, bool)              { return d.suppressed, d.suppressed }
func (d *detail) AppendMetricKey(_ *exchange.Exchange, b []byte) []byte   { return append(b, d.label...) }
func (d *detail) PutMetricAttributes(_ *exchange.Exchange, m pcommon.Map) { m.PutStr("label", d.label) }
func (d *detail) AppendActiveKey(_ *exchange.Exchange, b []byte) []byte   { return append(b, d.label...) }
func (d *detail) PutActiveAttributes(_ *exchange.Exchange, m pcommon.Map) { m.PutStr("label", d.label) }
func (d *detail) Measure(x *exchange.Exchange, values []float64) {
	values[0] = float64(x.End-x.Start) / 1e9
	if len(values) > 1 {
		values[1] = d.size
	}
}

const epoch = 1_700_000_000_000_000_000

func wall(ns uint64) pcommon.Timestamp { return pcommon.Timestamp(epoch + ns) }

func at(seconds float64) time.Time { return time.Unix(0, epoch+int64(seconds*1e9)) }

func newInstance(key string) *workload.Workload {
	i := &workload.Instance{Key: key, Metrics: pcommon.NewResource()}
	i.Metrics.Attributes().PutStr("service.instance.id", key)
	return &workload.Workload{Instance: i, Traces: pcommon.NewResource()}
}

// newExchange starts at 1 s of the monotonic clock.
func newExchange(w *workload.Workload, label string, duration time.Duration) (*exchange.Exchange, *detail) {
	d := &detail{protocol: testProtocol, label: label, size: math.NaN()}
	return &exchange.Exchange{
		Workload: w, Role: exchange.RoleServer, Detail: d,
		Start: 1e9, End: 1e9 + uint64(duration),
		Context: exchange.Context{TraceID: pcommon.TraceID{15: 1}, SpanID: pcommon.SpanID{7: 1}},
	}, d
}

func withID(x *exchange.Exchange, n uint64) *exchange.Exchange {
	binary.BigEndian.PutUint64(x.Context.SpanID[:], n)
	return x
}

// text renders metrics for golden comparison, one line per point.
func text(md pmetric.Metrics) (lines []string) {
	for _, r := range md.ResourceMetrics().All() {
		id, _ := r.Resource().Attributes().Get("service.instance.id")
		for _, s := range r.ScopeMetrics().All() {
			for _, m := range s.Metrics().All() {
				head := fmt.Sprintf("%s %s", id.Str(), m.Name())
				switch m.Type() {
				case pmetric.MetricTypeHistogram:
					for _, p := range m.Histogram().DataPoints().All() {
						lines = append(lines, fmt.Sprintf("%s %v %s count=%d sum=%.3f min=%.3f max=%.3f %v exemplars=%d", head, p.Attributes().AsRaw(),
							span(p.StartTimestamp(), p.Timestamp()), p.Count(), p.Sum(), p.Min(), p.Max(), p.BucketCounts().AsRaw(), p.Exemplars().Len()))
					}
				case pmetric.MetricTypeExponentialHistogram:
					for _, p := range m.ExponentialHistogram().DataPoints().All() {
						lines = append(lines, fmt.Sprintf("%s %v %s count=%d sum=%.3f zero=%d scale=%d %d%v", head, p.Attributes().AsRaw(),
							span(p.StartTimestamp(), p.Timestamp()), p.Count(), p.Sum(), p.ZeroCount(), p.Scale(), p.Positive().Offset(), p.Positive().BucketCounts().AsRaw()))
					}
				case pmetric.MetricTypeSum:
					for _, p := range m.Sum().DataPoints().All() {
						lines = append(lines, fmt.Sprintf("%s %v %s value=%d", head, p.Attributes().AsRaw(), span(p.StartTimestamp(), p.Timestamp()), p.IntValue()))
					}
				}
			}
		}
	}
	return lines
}

func span(from, to pcommon.Timestamp) string {
	return fmt.Sprintf("[%gs,%gs]", float64(int64(from)-epoch)/1e9, float64(int64(to)-epoch)/1e9)
}

// totals sums counts per metric name over all points.
func totals(md pmetric.Metrics) map[string]uint64 {
	sums := map[string]uint64{}
	for _, r := range md.ResourceMetrics().All() {
		for _, s := range r.ScopeMetrics().All() {
			for _, m := range s.Metrics().All() {
				switch m.Type() {
				case pmetric.MetricTypeHistogram:
					for _, p := range m.Histogram().DataPoints().All() {
						sums[m.Name()] += p.Count()
					}
				case pmetric.MetricTypeExponentialHistogram:
					for _, p := range m.ExponentialHistogram().DataPoints().All() {
						sums[m.Name()] += p.Count()
					}
				}
			}
		}
	}
	return sums
}

func newAggregator(t testing.TB, o Options) *Aggregator {
	t.Helper()
	o.Wall = wall
	a := New(o)
	a.last = pcommon.NewTimestampFromTime(at(0))
	require.NotNil(t, a)
	return a
}
