// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"errors"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/delivery"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/metadata"
)

// factory keeps the receivers that exist, by configuration: the Collector asks
// for one per signal, and all signals share one engine.
type factory struct {
	newEngine newEngineFunc

	mu     sync.Mutex
	shared map[*Config]*sharedReceiver
}

// startStopper is an engine: component.Component without a host.
type startStopper interface {
	Start(context.Context) error
	Shutdown(context.Context) error
}

type newEngineFunc func(engineSettings) startStopper

// sharedReceiver is the receiver behind all pipelines that name it. The
// Collector starts and stops it once per signal; the first call counts.
//
// That the first Shutdown ends all signals is on purpose: the Collector stops
// components in an order in which the exporters of one signal may well be gone
// before the receiver of the other is asked to stop. At the first Shutdown
// everything downstream still runs, so that is when to flush.
type sharedReceiver struct {
	config    *Config
	settings  receiver.Settings
	newEngine newEngineFunc
	forget    func()

	// The next consumers; nil when no pipeline of that signal has the
	// receiver. Set before Start.
	traces  consumer.Traces
	metrics consumer.Metrics

	startOnce, stopOnce sync.Once
	startErr, stopErr   error

	// stop lists what Shutdown does, in order.
	stop []func(context.Context) error

	status status
}

// Start loads the probes. The engine outlives ctx.
func (r *sharedReceiver) Start(ctx context.Context, host component.Host) error {
	r.status.add(host)
	r.startOnce.Do(func() { r.startErr = r.start(context.WithoutCancel(ctx)) })
	return r.startErr
}

func (r *sharedReceiver) start(ctx context.Context) error {
	report, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID:             r.settings.ID,
		LongLivedCtx:           true,
		ReceiverCreateSettings: r.settings,
	})
	if err != nil {
		return err
	}
	telemetry, err := metadata.NewTelemetryBuilder(r.settings.TelemetrySettings)
	if err != nil {
		return err
	}
	queue := delivery.Settings{
		Capacity: r.config.Limits.QueueSize,
		Backoff:  delivery.DefaultBackoff(),
		Logger:   r.settings.Logger,
		Report:   report,
	}
	set := engineSettings{
		Config:    r.config,
		Logger:    r.settings.Logger,
		Telemetry: r.settings.TelemetrySettings,
		Status:    r.status.report,
		Version:   r.settings.BuildInfo.Version,
	}
	var queues []func(context.Context) error
	if r.traces != nil {
		q := delivery.NewTraces(r.traces, queue)
		err = errors.Join(err, q.Register(telemetry))
		set.Traces = q.Offer
		queues = append(queues, q.Shutdown)
	}
	if r.metrics != nil {
		q := delivery.NewMetrics(r.metrics, queue)
		err = errors.Join(err, q.Register(telemetry))
		set.Metrics = q.Offer
		queues = append(queues, q.Shutdown)
	}
	queues = append(queues, func(context.Context) error {
		telemetry.Shutdown()
		return nil
	})

	engine := r.newEngine(set)
	if err == nil {
		err = engine.Start(ctx)
	}
	if err == nil {
		r.stop = append([]func(context.Context) error{engine.Shutdown}, queues...)
		return nil
	}

	// An engine that did not start has cleaned up after itself.
	for _, shutdown := range queues {
		err = errors.Join(err, shutdown(ctx))
	}
	if r.config.ErrorMode == config.ErrorModePropagate {
		return err
	}
	// Where in our code it was noticed helps nobody.
	r.settings.Logger.WithOptions(zap.AddStacktrace(zap.DPanicLevel)).Error("eBPF is not available: this receiver reports nothing, the rest of the Collector runs (error_mode: ignore)",
		zap.Error(err))
	r.status.report(componentstatus.NewPermanentErrorEvent(err))
	return nil
}

// Shutdown flushes and unloads. It may be called before Start, and again.
func (r *sharedReceiver) Shutdown(ctx context.Context) error {
	r.stopOnce.Do(func() {
		r.startOnce.Do(func() {}) // too late to start now
		r.status.stop()
		for _, stop := range r.stop {
			r.stopErr = errors.Join(r.stopErr, stop(ctx))
		}
		r.forget()
	})
	return r.stopErr
}

// status tells every host, which is one per signal, how the receiver is. A host
// that comes late is told what the others know.
type status struct {
	mu      sync.Mutex
	hosts   []component.Host
	last    *componentstatus.Event
	stopped bool
}

func (s *status) add(host component.Host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts = append(s.hosts, host)
	if s.last != nil {
		componentstatus.ReportStatus(host, s.last)
	}
}

func (s *status) report(e *componentstatus.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	s.last = e
	for _, host := range s.hosts {
		componentstatus.ReportStatus(host, e)
	}
}

// stop ends reporting: from here on the Collector says that it is stopping.
func (s *status) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}
