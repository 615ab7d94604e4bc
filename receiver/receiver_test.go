// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/metadata"
)

// fakeEngine is an engine without probes. Its Shutdown hands on one span and
// one metric point, as an engine that flushes does.
type fakeEngine struct {
	settings         engineSettings
	startErr         error
	started, stopped int
	ctx              context.Context
}

func (e *fakeEngine) Start(ctx context.Context) error {
	e.started++
	e.ctx = ctx
	return e.startErr
}

func (e *fakeEngine) Shutdown(context.Context) error {
	e.stopped++
	if e.settings.Traces != nil {
		td := ptrace.NewTraces()
		td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
		e.settings.Traces(td)
	}
	if e.settings.Metrics != nil {
		md := pmetric.NewMetrics()
		md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().
			SetEmptyGauge().DataPoints().AppendEmpty()
		e.settings.Metrics(md)
	}
	return nil
}

// engines makes fake engines and remembers them.
type engines struct {
	startErr error
	all      []*fakeEngine
}

func (e *engines) new(s engineSettings) startStopper {
	f := &fakeEngine{settings: s, startErr: e.startErr}
	e.all = append(e.all, f)
	return f
}

// host remembers what was reported to it.
type host struct {
	component.Host
	events []*componentstatus.Event
}

func newHost() *host { return &host{Host: componenttest.NewNopHost()} }

func (h *host) Report(e *componentstatus.Event) { h.events = append(h.events, e) }

func TestSignalsShareOneEngine(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	made := &engines{}
	f := newFactory(made.new)
	cfg := config.Default()
	set := receivertest.NewNopSettings(metadata.Type)
	set.BuildInfo.Version = "1.2.3"
	var traces consumertest.TracesSink
	var metrics consumertest.MetricsSink
	tr, err := f.CreateTraces(ctx, set, cfg, &traces)
	require.NoError(t, err)
	mr, err := f.CreateMetrics(ctx, set, cfg, &metrics)
	require.NoError(t, err)
	require.Empty(t, made.all, "creating does no work")

	startCtx, cancel := context.WithCancel(ctx)
	th, mh := newHost(), newHost()
	require.NoError(t, tr.Start(startCtx, th))
	require.NoError(t, mr.Start(startCtx, mh))
	cancel()
	require.Len(t, made.all, 1)
	engine := made.all[0]
	require.Equal(t, 1, engine.started)
	require.NoError(t, engine.ctx.Err(), "the engine outlives the context of Start")
	require.Same(t, cfg, engine.settings.Config)
	require.Equal(t, "1.2.3", engine.settings.Version)

	engine.settings.Status(componentstatus.NewRecoverableErrorEvent(errors.New("half blind")))
	for _, h := range []*host{th, mh} {
		require.Len(t, h.events, 1, "every signal's host is told")
		require.Equal(t, componentstatus.StatusRecoverableError, h.events[0].Status())
	}

	require.NoError(t, mr.Shutdown(ctx))
	assert.Equal(t, 1, traces.SpanCount(), "the first Shutdown flushes all signals")
	assert.Equal(t, 1, metrics.DataPointCount())
	require.NoError(t, tr.Shutdown(ctx))
	require.NoError(t, tr.Shutdown(ctx))
	require.Equal(t, 1, engine.stopped)

	engine.settings.Status(componentstatus.NewEvent(componentstatus.StatusOK))
	require.Len(t, th.events, 1, "no status after Shutdown")

	// The same configuration can be used again afterwards.
	again, err := f.CreateTraces(ctx, set, cfg, &traces)
	require.NoError(t, err)
	require.NoError(t, again.Start(ctx, newHost()))
	require.Len(t, made.all, 2)
	require.Nil(t, made.all[1].settings.Metrics, "no pipeline, no function")
	require.NoError(t, again.Shutdown(ctx))
}

func TestEachConfigurationHasItsOwnEngine(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	made := &engines{}
	f := newFactory(made.new)
	for range 2 {
		r, err := f.CreateTraces(ctx, receivertest.NewNopSettings(metadata.Type), f.CreateDefaultConfig(), consumertest.NewNop())
		require.NoError(t, err)
		require.NoError(t, r.Start(ctx, newHost()))
		t.Cleanup(func() { require.NoError(t, r.Shutdown(ctx)) })
	}
	require.Len(t, made.all, 2)
}

func TestShutdownBeforeStart(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	made := &engines{}
	f := newFactory(made.new)
	r, err := f.CreateTraces(ctx, receivertest.NewNopSettings(metadata.Type), f.CreateDefaultConfig(), consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, r.Shutdown(ctx))
	require.NoError(t, r.Shutdown(ctx))
	require.Empty(t, made.all)
}

func TestErrorMode(t *testing.T) {
	t.Parallel()
	cause := errors.New("kernel has no BTF: use a kernel built with CONFIG_DEBUG_INFO_BTF")
	for mode, test := range map[config.ErrorMode]struct {
		err    error
		status []componentstatus.Status
		logged int
	}{
		config.ErrorModePropagate: {err: cause},
		config.ErrorModeIgnore:    {status: []componentstatus.Status{componentstatus.StatusPermanentError}, logged: 1},
	} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			made := &engines{startErr: cause}
			f := newFactory(made.new)
			core, logs := observer.New(zap.ErrorLevel)
			set := receivertest.NewNopSettings(metadata.Type)
			set.Logger = zap.New(core)
			cfg := config.Default()
			cfg.ErrorMode = mode
			tr, err := f.CreateTraces(ctx, set, cfg, consumertest.NewNop())
			require.NoError(t, err)
			mr, err := f.CreateMetrics(ctx, set, cfg, consumertest.NewNop())
			require.NoError(t, err)

			for _, r := range []component.Component{tr, mr} {
				h := newHost()
				require.ErrorIs(t, r.Start(ctx, h), test.err)
				var got []componentstatus.Status
				for _, e := range h.events {
					got = append(got, e.Status())
					require.ErrorIs(t, e.Err(), cause)
				}
				require.Equal(t, test.status, got, "also the host that comes second is told")
			}
			require.Equal(t, test.logged, logs.Len())
			require.NoError(t, tr.Shutdown(ctx))
			require.NoError(t, mr.Shutdown(ctx))
			require.Len(t, made.all, 1)
			require.Zero(t, made.all[0].stopped, "an engine that did not start is not stopped")
		})
	}
}

// A pipeline that hangs does not keep the Collector from stopping.
func TestShutdownHonoursItsContext(t *testing.T) {
	t.Parallel()
	made := &engines{}
	f := newFactory(made.new)
	r, err := f.CreateTraces(context.Background(), receivertest.NewNopSettings(metadata.Type), f.CreateDefaultConfig(), hanging{consumertest.NewNop()})
	require.NoError(t, err)
	require.NoError(t, r.Start(context.Background(), newHost()))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, r.Shutdown(ctx), context.DeadlineExceeded)
}

type hanging struct{ consumertest.Consumer }

func (hanging) ConsumeTraces(ctx context.Context, _ ptrace.Traces) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestForeignConfiguration(t *testing.T) {
	t.Parallel()
	f := NewFactory()
	_, err := f.CreateTraces(context.Background(), receivertest.NewNopSettings(metadata.Type), &struct{}{}, consumertest.NewNop())
	require.EqualError(t, err, "configuration is a *struct {}, not that of the ebpf receiver")
}
