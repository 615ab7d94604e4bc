// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/metadata"
)

// Settings of a Queue.
type Settings struct {
	// Capacity is the number of batches that may wait, besides the one being
	// delivered.
	Capacity int
	Backoff  Backoff
	Logger   *zap.Logger
	Report   *receiverhelper.ObsReport
}

// Backoff spaces the attempts to deliver a batch that was refused with an error
// that is not permanent. The pause grows by half from attempt to attempt and is
// randomised by a half.
type Backoff struct {
	// Initial and Longest pause.
	Initial, Longest time.Duration
	// GiveUp is the time after which a batch is dropped.
	GiveUp time.Duration
}

// DefaultBackoff gives up early enough for the batches behind to be of use.
func DefaultBackoff() Backoff {
	return Backoff{Initial: 250 * time.Millisecond, Longest: 5 * time.Second, GiveUp: time.Minute}
}

// Cause is why items were lost; the values are those of the attribute cause in
// metadata.yaml.
type Cause uint8

const (
	// QueueFull: there was no room to wait.
	QueueFull Cause = iota
	// ConsumerRefused: the error was permanent, or Backoff.GiveUp was over.
	ConsumerRefused
	// Shutdown: the item was still waiting, or came, when the queue closed.
	Shutdown
	causes
)

func (c Cause) String() string {
	return [causes]string{"queue_full", "consumer_refused", "shutdown"}[c]
}

// Queue delivers batches of T to a consumer. Make one with NewTraces or
// NewMetrics.
type Queue[T any] struct {
	settings Settings
	signal   string // traces or metrics
	item     string // span or metric_point
	consume  func(context.Context, T) error
	count    func(T) int
	// rest is the part of a batch that a partial failure left over.
	rest func(error) (T, bool)

	mu     sync.RWMutex // guards closed, and batches against being closed
	closed bool

	batches  chan T
	stopping chan struct{} // closed when Shutdown begins: no more pauses
	done     chan struct{} // closed when the goroutine is gone
	cancel   context.CancelFunc
	lost     [causes]atomic.Int64 // items
	// refused: the last attempt failed. Only the goroutine uses it, to log
	// when things change and not for every batch.
	refused bool
}

// NewTraces starts a queue of traces. It runs until Shutdown.
func NewTraces(next consumer.Traces, s Settings) *Queue[ptrace.Traces] {
	return start(&Queue[ptrace.Traces]{
		settings: s,
		signal:   "traces",
		item:     "span",
		count:    ptrace.Traces.SpanCount,
		consume: func(ctx context.Context, td ptrace.Traces) error {
			n := td.SpanCount()
			ctx = s.Report.StartTracesOp(ctx)
			err := next.ConsumeTraces(ctx, td)
			s.Report.EndTracesOp(ctx, metadata.Type.String(), n, err)
			return err
		},
		rest: func(err error) (ptrace.Traces, bool) {
			var partial consumererror.Traces
			if !errors.As(err, &partial) {
				return ptrace.Traces{}, false
			}
			return partial.Data(), true
		},
	})
}

// NewMetrics starts a queue of metrics. It runs until Shutdown.
func NewMetrics(next consumer.Metrics, s Settings) *Queue[pmetric.Metrics] {
	return start(&Queue[pmetric.Metrics]{
		settings: s,
		signal:   "metrics",
		item:     "metric_point",
		count:    pmetric.Metrics.DataPointCount,
		consume: func(ctx context.Context, md pmetric.Metrics) error {
			n := md.DataPointCount()
			ctx = s.Report.StartMetricsOp(ctx)
			err := next.ConsumeMetrics(ctx, md)
			s.Report.EndMetricsOp(ctx, metadata.Type.String(), n, err)
			return err
		},
		rest: func(err error) (pmetric.Metrics, bool) {
			var partial consumererror.Metrics
			if !errors.As(err, &partial) {
				return pmetric.Metrics{}, false
			}
			return partial.Data(), true
		},
	})
}

func start[T any](q *Queue[T]) *Queue[T] {
	q.batches = make(chan T, q.settings.Capacity)
	q.stopping = make(chan struct{})
	q.done = make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	q.cancel = cancel
	go q.run(ctx)
	return q
}

// Offer hands a batch over. It never blocks: what does not fit is dropped and
// counted. The batch belongs to the queue afterwards.
func (q *Queue[T]) Offer(batch T) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.closed {
		q.lose(Shutdown, batch)
		return
	}
	select {
	case q.batches <- batch:
	default:
		q.lose(QueueFull, batch)
	}
}

// Len is the number of batches that wait.
func (q *Queue[T]) Len() int { return len(q.batches) }

// Lost is the number of items (spans or metric points) lost so far.
func (q *Queue[T]) Lost(c Cause) int64 { return q.lost[c].Load() }

// Register makes the Collector's own telemetry show Len and Lost.
func (q *Queue[T]) Register(b *metadata.TelemetryBuilder) error {
	size := metric.WithAttributeSet(attribute.NewSet(attribute.String("signal", q.signal)))
	var lost [causes]metric.MeasurementOption
	for c := range causes {
		lost[c] = metric.WithAttributeSet(attribute.NewSet(
			attribute.String("item", q.item),
			attribute.String("cause", c.String()),
		))
	}
	return errors.Join(
		b.RegisterReceiverEbpfQueueSizeCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(q.Len()), size)
			return nil
		}),
		b.RegisterReceiverEbpfLostCallback(func(_ context.Context, o metric.Int64Observer) error {
			for c := range causes {
				o.Observe(q.Lost(c), lost[c])
			}
			return nil
		}),
	)
}

// Shutdown delivers what waits, each batch with one attempt, and returns when
// that is done or ctx is; then it says what was left behind. It may be called
// more than once.
func (q *Queue[T]) Shutdown(ctx context.Context) error {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.stopping)
		close(q.batches)
	}
	q.mu.Unlock()

	defer q.cancel()
	select {
	case <-q.done:
	case <-ctx.Done():
		return fmt.Errorf("deliver the last %s: %d batches are waiting: %w", q.signal, q.Len(), ctx.Err())
	}
	return nil
}

func (q *Queue[T]) run(ctx context.Context) {
	defer close(q.done)
	for batch := range q.batches {
		if ctx.Err() != nil {
			q.lose(Shutdown, batch)
			continue
		}
		q.deliver(ctx, batch)
	}
}

// deliver hands one batch to the consumer, again and again if need be.
//
// A consumer that changes data and then fails may get it changed a second time:
// copying every batch for that case would cost more than it is worth.
func (q *Queue[T]) deliver(ctx context.Context, batch T) {
	var (
		began = time.Now()
		pause = q.settings.Backoff.Initial
		n     = q.count(batch)
	)
	for {
		err := q.consume(ctx, batch)
		q.note(err)
		if err == nil {
			return
		}
		if rest, ok := q.rest(err); ok {
			batch, n = rest, q.count(rest)
		}
		switch {
		case consumererror.IsPermanent(err), time.Since(began)+pause > q.settings.Backoff.GiveUp:
			q.lost[ConsumerRefused].Add(int64(n))
			return
		case q.isStopping():
			q.lost[Shutdown].Add(int64(n))
			return
		}
		// Between half and one and a half of the pause.
		timer := time.NewTimer(pause/2 + rand.N(pause+1))
		select {
		case <-timer.C:
		case <-q.stopping: // one last attempt
			timer.Stop()
		}
		pause = min(pause+pause/2, q.settings.Backoff.Longest)
	}
}

// note logs the first of a row of failures, and its end.
func (q *Queue[T]) note(err error) {
	switch {
	case err != nil && !q.refused:
		q.settings.Logger.Warn("the pipeline refuses data", zap.String("signal", q.signal),
			zap.Bool("permanent", consumererror.IsPermanent(err)), zap.Error(err))
	case err == nil && q.refused:
		q.settings.Logger.Info("the pipeline accepts data again", zap.String("signal", q.signal))
	}
	q.refused = err != nil
}

func (q *Queue[T]) isStopping() bool {
	select {
	case <-q.stopping:
		return true
	default:
		return false
	}
}

func (q *Queue[T]) lose(c Cause, batch T) { q.lost[c].Add(int64(q.count(batch))) }
