// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/metadata"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/metadatatest"
)

var errBusy = errors.New("busy")

// pipeline is a next consumer that does what a test says, and remembers the
// names of the spans it accepted.
type pipeline struct {
	consume func(ctx context.Context, attempt int) error

	mu       sync.Mutex
	attempts int
	accepted []string
}

func (p *pipeline) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (p *pipeline) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	p.mu.Lock()
	p.attempts++
	attempt := p.attempts
	p.mu.Unlock()
	if p.consume != nil {
		if err := p.consume(ctx, attempt); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				p.accepted = append(p.accepted, span.Name())
			}
		}
	}
	return nil
}

func (p *pipeline) names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.accepted...)
}

// batch has n spans with the names first, first+1, ...
func batch(first, n int) ptrace.Traces {
	td := ptrace.NewTraces()
	spans := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	for i := range n {
		spans.AppendEmpty().SetName(strconv.Itoa(first + i))
	}
	return td
}

func settings(t *testing.T, capacity int) (Settings, receiver.Settings) {
	set := receivertest.NewNopSettings(metadata.Type)
	report, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: set.ID, LongLivedCtx: true, ReceiverCreateSettings: set,
	})
	require.NoError(t, err)
	return Settings{
		Capacity: capacity,
		Backoff:  Backoff{Initial: time.Millisecond, Longest: 4 * time.Millisecond, GiveUp: time.Minute},
		Logger:   set.Logger,
		Report:   report,
	}, set
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func requireLost(t *testing.T, q interface{ Lost(Cause) int64 }, want map[Cause]int64) {
	t.Helper()
	for c := range causes {
		assert.Equal(t, want[c], q.Lost(c), c.String())
	}
}

func TestDeliversInOrder(t *testing.T) {
	t.Parallel()
	next := &pipeline{}
	set, _ := settings(t, 100)
	q := NewTraces(next, set)
	var want []string
	for i := range 50 {
		q.Offer(batch(2*i, 2))
		want = append(want, strconv.Itoa(2*i), strconv.Itoa(2*i+1))
	}
	require.NoError(t, q.Shutdown(within(t, time.Minute)))
	require.Equal(t, want, next.names())
	requireLost(t, q, nil)
}

func TestRetries(t *testing.T) {
	t.Parallel()
	next := &pipeline{consume: func(_ context.Context, attempt int) error {
		if attempt%4 != 0 {
			return errBusy
		}
		return nil
	}}
	set, _ := settings(t, 10)
	q := NewTraces(next, set)
	q.Offer(batch(1, 1))
	q.Offer(batch(2, 1))
	require.Eventually(t, func() bool { return len(next.names()) == 2 }, time.Minute, time.Millisecond)
	require.NoError(t, q.Shutdown(within(t, time.Minute)))
	require.Equal(t, []string{"1", "2"}, next.names(), "each exactly once, in order")
	require.Equal(t, 8, next.attempts)
	requireLost(t, q, nil)
}

func TestRetriesOnlyTheRest(t *testing.T) {
	t.Parallel()
	next := &pipeline{consume: func(_ context.Context, attempt int) error {
		if attempt == 1 {
			return consumererror.NewTraces(errBusy, batch(2, 1))
		}
		return nil
	}}
	set, _ := settings(t, 10)
	q := NewTraces(next, set)
	q.Offer(batch(1, 2))
	require.Eventually(t, func() bool { return len(next.names()) == 1 }, time.Minute, time.Millisecond)
	require.NoError(t, q.Shutdown(within(t, time.Minute)))
	require.Equal(t, []string{"2"}, next.names())
	requireLost(t, q, nil)
}

func TestPermanentErrorIsNotRetried(t *testing.T) {
	t.Parallel()
	next := &pipeline{consume: func(_ context.Context, attempt int) error {
		if attempt == 1 {
			return consumererror.NewPermanent(errors.New("bad data"))
		}
		return nil
	}}
	set, _ := settings(t, 10)
	q := NewTraces(next, set)
	q.Offer(batch(1, 3))
	q.Offer(batch(4, 1))
	require.NoError(t, q.Shutdown(within(t, time.Minute)))
	require.Equal(t, []string{"4"}, next.names())
	requireLost(t, q, map[Cause]int64{ConsumerRefused: 3})
}

func TestGivesUp(t *testing.T) {
	t.Parallel()
	next := &pipeline{consume: func(context.Context, int) error { return errBusy }}
	set, _ := settings(t, 10)
	set.Backoff.GiveUp = 20 * time.Millisecond
	q := NewTraces(next, set)
	q.Offer(batch(1, 3))
	require.Eventually(t, func() bool { return q.Lost(ConsumerRefused) == 3 }, time.Minute, time.Millisecond)
	require.NoError(t, q.Shutdown(within(t, time.Minute)))
	requireLost(t, q, map[Cause]int64{ConsumerRefused: 3})
	require.Greater(t, next.attempts, 1)
}

func TestOverflowDropsTheNewest(t *testing.T) {
	t.Parallel()
	entered, proceed := make(chan struct{}), make(chan struct{})
	next := &pipeline{consume: func(_ context.Context, attempt int) error {
		if attempt == 1 {
			close(entered)
			<-proceed
		}
		return nil
	}}
	set, _ := settings(t, 2)
	q := NewTraces(next, set)
	q.Offer(batch(1, 1))
	<-entered
	for i := 2; i <= 6; i++ {
		q.Offer(batch(10*i, i))
	}
	require.Equal(t, 2, q.Len())
	requireLost(t, q, map[Cause]int64{QueueFull: 4 + 5 + 6})
	close(proceed)
	require.NoError(t, q.Shutdown(within(t, time.Minute)))
	require.Equal(t, []string{"1", "20", "21", "30", "31", "32"}, next.names())
	requireLost(t, q, map[Cause]int64{QueueFull: 15})
}

// A pipeline that refuses at shutdown gets each batch once more and does not
// hold the Collector up.
func TestShutdownDoesNotRetry(t *testing.T) {
	t.Parallel()
	next := &pipeline{consume: func(context.Context, int) error { return errBusy }}
	set, _ := settings(t, 10)
	set.Backoff = Backoff{Initial: time.Hour, Longest: time.Hour, GiveUp: 100 * time.Hour}
	q := NewTraces(next, set)
	q.Offer(batch(1, 1))
	q.Offer(batch(2, 2))
	require.NoError(t, q.Shutdown(within(t, time.Minute)))
	requireLost(t, q, map[Cause]int64{Shutdown: 3})
}

func TestShutdownHonoursItsContext(t *testing.T) {
	t.Parallel()
	next := &pipeline{consume: func(ctx context.Context, _ int) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	set, _ := settings(t, 10)
	q := NewTraces(next, set)
	q.Offer(batch(1, 1))
	q.Offer(batch(2, 2))
	require.Eventually(t, func() bool { return q.Len() == 1 }, time.Minute, time.Millisecond)
	err := q.Shutdown(within(t, 10*time.Millisecond))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.EqualError(t, err, "deliver the last traces: 1 batches are waiting: context deadline exceeded")
	<-q.done
	requireLost(t, q, map[Cause]int64{Shutdown: 3})
}

func TestShutdownTwiceAndOfferAfterwards(t *testing.T) {
	t.Parallel()
	next := &pipeline{}
	set, _ := settings(t, 10)
	q := NewTraces(next, set)
	require.NoError(t, q.Shutdown(within(t, time.Minute)))
	require.NoError(t, q.Shutdown(within(t, time.Minute)))
	q.Offer(batch(1, 2))
	requireLost(t, q, map[Cause]int64{Shutdown: 2})
	require.Empty(t, next.names())
}

// Whatever happens, every span is either accepted once or counted as lost once.
func TestNothingIsLostInSilence(t *testing.T) {
	t.Parallel()
	next := &pipeline{consume: func(_ context.Context, attempt int) error {
		switch {
		case attempt%7 == 0:
			return consumererror.NewPermanent(errBusy)
		case attempt%3 == 0:
			return errBusy
		}
		return nil
	}}
	set, _ := settings(t, 4)
	q := NewTraces(next, set)
	const producers, batches, spans = 4, 200, 3
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for i := range batches {
				q.Offer(batch((p*batches+i)*spans, spans))
				if i%16 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, q.Shutdown(within(t, time.Minute)))
	names := next.names()
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		require.False(t, seen[name], "%s was delivered twice", name)
		seen[name] = true
	}
	lost := q.Lost(QueueFull) + q.Lost(ConsumerRefused) + q.Lost(Shutdown)
	require.EqualValues(t, producers*batches*spans, int64(len(names))+lost)
}

func TestTelemetry(t *testing.T) {
	t.Parallel()
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	set, _ := settings(t, 1)
	block := make(chan struct{})
	traces := NewTraces(&pipeline{consume: func(context.Context, int) error {
		<-block
		return nil
	}}, set)
	metrics := NewMetrics(refuseMetrics{}, set)

	// Two builders, as the receiver and the engine have.
	for _, register := range []func(*metadata.TelemetryBuilder) error{traces.Register, metrics.Register} {
		b, err := metadata.NewTelemetryBuilder(tel.NewTelemetrySettings())
		require.NoError(t, err)
		t.Cleanup(b.Shutdown)
		require.NoError(t, register(b))
	}

	traces.Offer(batch(1, 1))
	require.Eventually(t, func() bool { return traces.Len() == 0 }, time.Minute, time.Millisecond)
	traces.Offer(batch(2, 1))
	traces.Offer(batch(3, 5))
	md := pmetric.NewMetrics()
	md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyGauge().DataPoints().AppendEmpty()
	metrics.Offer(md)
	require.Eventually(t, func() bool { return metrics.Lost(ConsumerRefused) == 1 }, time.Minute, time.Millisecond)

	metadatatest.AssertEqualReceiverEbpfQueueSize(t, tel, []metricdata.DataPoint[int64]{
		{Attributes: attribute.NewSet(attribute.String("signal", "traces")), Value: 1},
		{Attributes: attribute.NewSet(attribute.String("signal", "metrics")), Value: 0},
	}, metricdatatest.IgnoreTimestamp())
	var lost []metricdata.DataPoint[int64]
	for _, item := range []string{"span", "metric_point"} {
		for c := range causes {
			point := metricdata.DataPoint[int64]{Attributes: attribute.NewSet(
				attribute.String("item", item), attribute.String("cause", c.String()))}
			switch {
			case item == "span" && c == QueueFull:
				point.Value = 5
			case item == "metric_point" && c == ConsumerRefused:
				point.Value = 1
			}
			lost = append(lost, point)
		}
	}
	metadatatest.AssertEqualReceiverEbpfLost(t, tel, lost, metricdatatest.IgnoreTimestamp())

	close(block)
	require.NoError(t, traces.Shutdown(within(t, time.Minute)))
	require.NoError(t, metrics.Shutdown(within(t, time.Minute)))
}

type refuseMetrics struct{}

func (refuseMetrics) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }
func (refuseMetrics) ConsumeMetrics(context.Context, pmetric.Metrics) error {
	return consumererror.NewPermanent(errBusy)
}

// The Collector's own otelcol_receiver_* metrics come from ObsReport.
func TestObsReport(t *testing.T) {
	t.Parallel()
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	id := component.NewID(metadata.Type)
	set, create := settings(t, 10)
	create.ID, create.TelemetrySettings = id, tel.NewTelemetrySettings()
	report, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: id, LongLivedCtx: true, ReceiverCreateSettings: create,
	})
	require.NoError(t, err)
	set.Report = report
	next := &pipeline{consume: func(_ context.Context, attempt int) error {
		if attempt == 1 {
			return errBusy
		}
		return nil
	}}
	q := NewTraces(next, set)
	q.Offer(batch(1, 3))
	require.Eventually(t, func() bool { return len(next.names()) == 3 }, time.Minute, time.Millisecond)
	require.NoError(t, q.Shutdown(within(t, time.Minute)))
	for name, want := range map[string]int64{
		"otelcol_receiver_accepted_spans": 3,
		"otelcol_receiver_refused_spans":  3,
	} {
		m, err := tel.GetMetric(name)
		require.NoError(t, err)
		sum, ok := m.Data.(metricdata.Sum[int64])
		require.True(t, ok)
		require.Len(t, sum.DataPoints, 1)
		require.Equal(t, want, sum.DataPoints[0].Value, name)
	}
}
