// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/capture"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster/kube"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/metadata"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/names"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/preflight"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/red"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/sampling"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/spans"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/workload"
)

const (
	// Upkeep of process and connection tables, and the look at what was lost.
	upkeepInterval = 5 * time.Second
	// Series of a service instance without exchanges are dropped after so
	// long.
	instanceIdle = time.Hour
)

// Settings are what an Engine works with. Traces and Metrics are nil when no
// pipeline of that signal uses the receiver; they never block.
type Settings struct {
	Config    *config.Config
	Logger    *zap.Logger
	Telemetry component.TelemetrySettings
	Traces    func(ptrace.Traces)
	Metrics   func(pmetric.Metrics)
	Status    func(*componentstatus.Event)
	Version   string
}

// Engine loads probes and turns what they see into pdata.
type Engine struct {
	settings  Settings
	telemetry *metadata.TelemetryBuilder

	probes    *capture.Probes
	processes *workload.Registry
	look      *inspectors
	selection *selection
	clock     *spans.Clock
	sampler   *sampling.Sampler
	metrics   *red.Aggregator
	protocols []protocol.Protocol
	shards    []*shard
	ids       causality.IDs
	contexts  *causality.Table
	wires     wires
	peers     peers
	examiner  *examiner
	// cluster is nil outside one, kube the same if it is asked by us.
	cluster cluster.View
	kube    *kube.View
	// instrumented processes export spans themselves.
	instrumented *instrumented
	// forgetRoutes drops what was learned of an instance.
	forgetRoutes func(instance string)
	// host is where we run, report what comes of it.
	host   *preflight.Host
	report *preflight.Report

	stop    chan struct{} // closed: the upkeep goroutine ends
	running sync.WaitGroup
	readers sync.WaitGroup
}

// New does no work.
func New(s Settings) *Engine { return &Engine{settings: s, stop: make(chan struct{})} }

// Start loads and attaches the probes and starts to report. On an error
// nothing is left behind.
func (e *Engine) Start(context.Context) error {
	err := e.start()
	if err != nil {
		if e.host != nil && e.report == nil {
			e.judge(preflight.Kernel{}, "")
		}
		e.release()
	}
	return err
}

func (e *Engine) start() error {
	c := e.settings.Config
	if err := e.join(); err != nil {
		return err
	}
	if err := e.build(); err != nil {
		return err
	}
	e.selection.connect(e.cluster)
	if e.cluster != nil {
		e.cluster.OnChange(func(uid string) {
			e.processes.PodChanged(uid)
			e.selection.generation.Add(1)
		})
	}
	if c.Peers.Kubernetes {
		e.peers.cluster = e.cluster
	}
	if err := e.load(); err != nil {
		return err
	}
	// Watching what we send would make us send more.
	if err := e.probes.SetProcess(uint32(os.Getpid()), capture.VerdictIgnored); err != nil {
		return err
	}
	e.selection.executions, e.selection.judge = e.probes.Executed, e.probes.Judge
	e.selection.invalidate = e.processes.Invalidate
	e.selection.scan()

	e.examiner = newExaminer(e.look.runtimes, e.probes.SetRuntime, e.probes.Watch, func(pid uint32) bool { return e.selection.decision(pid).Selected }, e.probes.LookAgain)
	e.selection.taken, e.selection.dropped = e.examiner.taken, e.probes.ForgetRuntime
	e.examiner.start()

	var err error
	limit := max(c.Limits.MaxConnections/len(e.probes.Rings), 1)
	for _, ring := range e.probes.Rings {
		e.shards = append(e.shards, newShard(e, ring, e.probes.Policies, limit))
	}
	e.shards[0].first = true
	e.selection.hurry = e.probes.Rings[0].Wake
	if err := e.probes.Attach(); err != nil {
		return err
	}
	e.judge(capture.Survey(), e.probes.Backend) // takes a moment, which nothing waits for now
	if e.telemetry, err = metadata.NewTelemetryBuilder(e.settings.Telemetry); err != nil {
		return fmt.Errorf("create internal telemetry: %w", err)
	}
	if err := e.observe(); err != nil {
		return fmt.Errorf("register internal telemetry: %w", err)
	}
	for _, s := range e.shards {
		e.readers.Go(s.run)
	}
	e.running.Go(e.upkeep)
	e.running.Go(func() { e.selection.run(e.stop) })
	if e.settings.Metrics != nil {
		e.running.Go(e.collect)
	}
	e.settings.Logger.Info("eBPF capture started",
		zap.String("hooks", string(e.probes.Backend)),
		zap.Int("rings", len(e.probes.Rings)),
		zap.Uint64("ring_bytes", e.probes.Rings[0].Size()),
		zap.Bool("all_processes", e.selection.matcher.Default()),
	)
	e.advise()
	e.status(nil)
	return nil
}

// advise says once what is fine to try, but much for a cluster.
func (e *Engine) advise() {
	c := e.settings.Config
	if e.settings.Traces == nil || c.Sampler != config.Default().Sampler || !e.selection.matcher.Default() {
		return
	}
	e.settings.Logger.Info("every trace of every process is kept: in production begin with sampler: {name: parentbased_traceidratio, arg: 0.1}, which leaves metrics exact, and with discovery rules for what you want to see; or set the sampler to always_on")
}

// load looks at the host and loads the probes.
func (e *Engine) load() (err error) {
	c := e.settings.Config
	e.host = preflight.Inspect()
	rings := 1
	for rings*2 <= min(runtime.NumCPU(), 8) {
		rings *= 2
	}
	e.probes, err = capture.Load(capture.Options{
		Host:            e.host,
		Hooks:           capture.Backend(c.Hooks),
		RingBytes:       c.Limits.RingBufferSize,
		RingCount:       rings,
		MaxConnections:  c.Limits.MaxConnections,
		DefaultSelected: e.selection.matcher.Default(),
		Window:          protocol.DefaultWindow.Sent,
		After:           protocol.DefaultWindow.After,
		MaxPayload:      uint32(c.Limits.MaxPayload),
		Datagrams:       c.Protocols.DNS.Enabled,
		Listens:         e.selection.needs.Ports,
		Beginnings:      beginnings(e.protocols),
		Propagation: capture.Propagation{
			TCPOption:  slices.Contains(c.ContextPropagation.Inject, config.InjectTCPOption),
			HTTPHeader: slices.Contains(c.ContextPropagation.Inject, config.InjectHTTPHeader),
			Key:        e.ids.Key,
			Sampler:    e.sampler.Rule(),
		},
	})
	return err
}

// judge says what the host and its kernel allow. hooks are in use, none if it came to nothing.
func (e *Engine) judge(kernel preflight.Kernel, hooks capture.Backend) {
	c := e.settings.Config
	e.report = preflight.NewReport(e.host, kernel, preflight.Wants{
		Hooks:      string(c.Hooks),
		TCPOption:  slices.Contains(c.ContextPropagation.Inject, config.InjectTCPOption),
		HTTPHeader: slices.Contains(c.ContextPropagation.Inject, config.InjectHTTPHeader),
	}, string(hooks))
	e.report.Log(e.settings.Logger)
}

// build makes everything that needs no privileges.
func (e *Engine) build() error {
	var err error
	c := e.settings.Config
	e.look = newInspectors()
	if e.selection, err = newSelection(c.Discovery, e.look, e.settings.Logger); err != nil {
		return err
	}
	e.peers.local = c.Peers.Local
	if c.Peers.DNS && c.Protocols.DNS.Enabled {
		e.peers.names = names.New(0)
	}
	if e.protocols, e.forgetRoutes, err = protocols(c, &e.peers); err != nil {
		return err
	}
	if e.sampler, err = c.Sampler.Compile(); err != nil {
		return err
	}
	e.clock = spans.NewClock()
	e.ids = causality.NewIDs()
	e.contexts = causality.NewTable(e.ids)
	e.processes = workload.NewRegistry(workload.Options{
		Decide:     e.selection.decision,
		Containers: e.look.containers,
		Cluster:    e.cluster,
		Version:    e.settings.Version,
		Dropped:    e.forget,
	})
	e.instrumented = newInstrumented(c.Discovery.Instrumented, e.contexts, e.look.runtimes.Kind, e.settings.Logger)
	temporality := pmetric.AggregationTemporalityCumulative
	if c.Metrics.Temporality == config.Delta {
		temporality = pmetric.AggregationTemporalityDelta
	}
	e.metrics = red.New(red.Options{
		Wall:        e.clock.Wall,
		Temporality: temporality,
		Exponential: c.Metrics.Histogram == config.HistogramExponential,
		MaxSeries:   c.Limits.MaxSeriesPerMetric,
		NoExemplars: !c.Metrics.Exemplars,
		Peers:       c.Metrics.Peer,
		Idle:        instanceIdle,
		Version:     e.settings.Version,
	})
	return nil
}

// forget is told of instances that are gone.
func (e *Engine) forget(instance string) {
	e.forgetRoutes(instance)
	e.selection.matcher.Forget(instance)
}

// builder makes a span builder for one reader; nil without a traces pipeline.
func (e *Engine) builder(reader *shard) *spans.Builder {
	if e.settings.Traces == nil {
		return nil
	}
	return spans.NewBuilder(spans.Options{
		Clock: e.clock, Sampler: e.sampler, SamplerFor: samplerOf, Version: e.settings.Version, Contexts: e.contexts,
		Lagging: func(time uint64) bool { return e.lagging(reader, time) },
		Unread:  func(time uint64) bool { return e.lagging(nil, time) },
	})
}

// samplerOf is the one of the rule that selected a workload; nil if it has none.
func samplerOf(w *workload.Workload) *sampling.Sampler {
	if w.Discovery.Rule == nil {
		return nil
	}
	return w.Discovery.Rule.Sampler
}

// lagging reports whether a reader other than this one has not read yet all that
// happened until a time.
func (e *Engine) lagging(than *shard, time uint64) bool {
	for _, s := range e.shards {
		if s != than && s.drained.Load() < time {
			return true
		}
	}
	return false
}

// collect sends metrics every interval.
func (e *Engine) collect() {
	ticker := time.NewTicker(e.settings.Config.CollectionInterval)
	defer ticker.Stop()
	for {
		select {
		case <-e.stop:
			return
		case now := <-ticker.C:
			e.clock.Measure()
			if m := e.metrics.Collect(now); m.ResourceMetrics().Len() > 0 {
				e.settings.Metrics(m)
			}
		}
	}
}

// upkeep keeps tables small and says when something is being lost.
func (e *Engine) upkeep() {
	ticker := time.NewTicker(upkeepInterval)
	defer ticker.Stop()
	var before capture.Counters
	degraded := false
	for {
		select {
		case <-e.stop:
			return
		case <-ticker.C:
		}
		e.clock.Measure()
		e.processes.Sweep()
		e.selection.rescan()
		e.peers.sweep(time.Now())
		now, err := e.probes.Counters()
		if err != nil {
			e.settings.Logger.Warn("cannot read the probes' counters", zap.Error(err))
			continue
		}
		problem := e.clusterProblem()
		lost := now.LostRing - before.LostRing + now.LostState - before.LostState + now.Missed - before.Missed
		before = now
		if lost > 0 {
			problem = fmt.Errorf(
				"%d socket operations were lost in the last %v: raise limits.ring_buffer_size or select fewer processes (receiver_ebpf_lost has the causes)", lost, upkeepInterval)
		}
		switch {
		case problem != nil && !degraded:
			e.status(problem)
		case problem == nil && degraded:
			e.status(nil)
		}
		degraded = problem != nil
	}
}

// status reports what is wrong now, nil if nothing is, besides what the host lacks.
func (e *Engine) status(wrong error) {
	if e.settings.Status == nil {
		return
	}
	options := []componentstatus.EventBuilderOption{componentstatus.WithAttributes(e.report.Attributes())}
	status := componentstatus.StatusOK
	if err := errors.Join(e.report.Degraded(), wrong); err != nil {
		status = componentstatus.StatusRecoverableError
		options = append(options, componentstatus.WithError(err))
	}
	e.settings.Status(componentstatus.NewEvent(status, options...))
}

// Shutdown detaches the probes, hands on what is still in the rings and frees
// everything. It may be called without Start, and again.
func (e *Engine) Shutdown(ctx context.Context) error {
	if e.probes == nil {
		return nil
	}
	e.probes.Detach()
	for _, s := range e.shards {
		s.stop()
	}
	done := make(chan struct{})
	go func() {
		e.readers.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = errors.Join(ctx.Err(), errors.New("flush what was captured"))
		// Readers never block, so this is a matter of milliseconds; the
		// memory they read has to outlive them.
		<-done
	}
	e.finish()
	return err
}

// finish is the part of Shutdown behind the readers.
func (e *Engine) finish() {
	close(e.stop)
	e.running.Wait()
	if e.settings.Metrics != nil {
		if m := e.metrics.Collect(time.Now()); m.ResourceMetrics().Len() > 0 {
			e.settings.Metrics(m)
		}
	}
	e.release()
}

func (e *Engine) release() {
	if e.telemetry != nil {
		e.telemetry.Shutdown()
		e.telemetry = nil
	}
	if e.examiner != nil {
		e.examiner.stop()
		e.examiner = nil
	}
	if e.probes != nil {
		e.probes.Close()
		e.probes = nil
	}
	if e.kube != nil {
		e.kube.Stop()
	}
}
