// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"context"
	"errors"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// observe registers the engine's counts with the Collector's own telemetry;
// metadata.yaml says what each means.
func (e *Engine) observe() error {
	t := e.telemetry
	sum := func(pick func(*published) uint64) int64 {
		var n uint64
		for _, s := range e.shards {
			n += pick(&s.published)
		}
		return int64(n)
	}
	single := func(pick func(*published) uint64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(sum(pick))
			return nil
		}
	}
	perProtocol := func(pick func(*publishedProtocol) *atomic.Uint64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			for i, p := range e.protocols {
				n := sum(func(p *published) uint64 { return pick(&p.protocols[i]).Load() })
				o.Observe(n, metric.WithAttributes(attribute.String("protocol", p.Name())))
			}
			return nil
		}
	}
	hooks := metric.WithAttributes(attribute.String("hooks", string(e.probes.Backend)))
	return errors.Join(
		t.RegisterReceiverEbpfSegmentsCallback(single(func(p *published) uint64 { return p.segments.Load() })),
		t.RegisterReceiverEbpfCopiedCallback(single(func(p *published) uint64 { return p.copied.Load() })),
		t.RegisterReceiverEbpfConnectionsCallback(single(func(p *published) uint64 { return uint64(p.connections.Load()) })),
		t.RegisterReceiverEbpfProcessesCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(e.processes.Len()))
			return nil
		}),
		t.RegisterReceiverEbpfHooksCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(1, hooks)
			return nil
		}),
		t.RegisterReceiverEbpfFeaturesCallback(func(_ context.Context, o metric.Int64Observer) error {
			for _, f := range e.report.Features {
				available := int64(0)
				if f.Available {
					available = 1
				}
				o.Observe(available, metric.WithAttributes(attribute.String("feature", f.Name)))
			}
			return nil
		}),
		t.RegisterReceiverEbpfExchangesCallback(func(_ context.Context, o metric.Int64Observer) error {
			for i, p := range e.protocols {
				for _, role := range []exchange.Role{exchange.RoleServer, exchange.RoleClient} {
					n := sum(func(p *published) uint64 { return p.protocols[i].exchanges[role].Load() })
					o.Observe(n, metric.WithAttributes(
						attribute.String("protocol", p.Name()),
						attribute.String("role", role.String())))
				}
			}
			return nil
		}),
		t.RegisterReceiverEbpfParserResyncsCallback(perProtocol(func(p *publishedProtocol) *atomic.Uint64 { return &p.resyncs })),
		t.RegisterReceiverEbpfParserInvalidCallback(perProtocol(func(p *publishedProtocol) *atomic.Uint64 { return &p.invalid })),
		t.RegisterReceiverEbpfParserUnmatchedCallback(perProtocol(func(p *publishedProtocol) *atomic.Uint64 { return &p.unmatched })),
		t.RegisterReceiverEbpfLostCallback(e.observeLost),
		t.RegisterReceiverEbpfKubernetesCurrentCallback(e.observeCluster(clusterCurrent)),
		t.RegisterReceiverEbpfKubernetesErrorsCallback(e.observeCluster(clusterErrors)),
		t.RegisterReceiverEbpfKubernetesObjectsCallback(e.observeCluster(clusterObjects)),
		t.RegisterReceiverEbpfContextsCallback(e.observeContexts),
		t.RegisterReceiverEbpfContextsOmittedCallback(e.observeContextsOmitted),
	)
}

func (e *Engine) observeContexts(_ context.Context, o metric.Int64Observer) error {
	c, err := e.probes.Counters()
	for _, i := range c.Injections {
		if i.Reason == "" {
			o.Observe(int64(i.Count), metric.WithAttributes(attribute.String("carrier", i.Carrier)))
		}
	}
	return err
}

func (e *Engine) observeContextsOmitted(_ context.Context, o metric.Int64Observer) error {
	c, err := e.probes.Counters()
	for _, i := range c.Injections {
		if i.Reason != "" {
			o.Observe(int64(i.Count), metric.WithAttributes(attribute.String("carrier", i.Carrier), attribute.String("reason", i.Reason)))
		}
	}
	return err
}

func (e *Engine) observeLost(_ context.Context, o metric.Int64Observer) error {
	c, err := e.probes.Counters()
	if err != nil {
		return err
	}
	lost := func(item, cause string, n uint64) {
		o.Observe(int64(n), metric.WithAttributes(attribute.String("item", item), attribute.String("cause", cause)))
	}
	lost("segment", "ring_full", c.LostRing)
	lost("payload", "ring_pressure", c.Pressure)
	lost("segment", "map_full", c.LostState)
	lost("segment", "unreadable", c.Unreadable)
	lost("segment", "unsupported", c.Unsupported)
	lost("segment", "missed", c.Missed)
	var unknown, evicted uint64
	for _, s := range e.shards {
		unknown += s.published.unknown.Load()
		evicted += s.published.evicted.Load()
	}
	lost("segment", "gap", unknown)
	lost("connection", "evicted", evicted)
	lost("exchange", "series_overflow", e.metrics.Stats().Overflowed)
	return nil
}
