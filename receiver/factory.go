// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/metadata"
)

// NewFactory returns the factory of the receiver `ebpf`. Receivers it creates
// do nothing before Start.
func NewFactory() receiver.Factory { return newFactory(newEngine) }

func newFactory(newEngine newEngineFunc) receiver.Factory {
	f := &factory{newEngine: newEngine, shared: make(map[*Config]*sharedReceiver)}
	return receiver.NewFactory(
		metadata.Type,
		func() component.Config { return config.Default() },
		receiver.WithTraces(f.createTraces, metadata.TracesStability),
		receiver.WithMetrics(f.createMetrics, metadata.MetricsStability),
	)
}

func (f *factory) createTraces(
	_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Traces,
) (receiver.Traces, error) {
	shared, err := f.receiver(set, cfg)
	if err != nil {
		return nil, err
	}
	shared.traces = next
	return shared, nil
}

func (f *factory) createMetrics(
	_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Metrics,
) (receiver.Metrics, error) {
	shared, err := f.receiver(set, cfg)
	if err != nil {
		return nil, err
	}
	shared.metrics = next
	return shared, nil
}

// receiver returns the one receiver of a configuration.
func (f *factory) receiver(set receiver.Settings, cfg component.Config) (*sharedReceiver, error) {
	c, ok := cfg.(*Config)
	if !ok {
		return nil, fmt.Errorf("configuration is a %T, not that of the ebpf receiver", cfg)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if shared, ok := f.shared[c]; ok {
		return shared, nil
	}
	shared := &sharedReceiver{
		config:    c,
		settings:  set,
		newEngine: f.newEngine,
		forget: func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(f.shared, c)
		},
	}
	f.shared[c] = shared
	return shared, nil
}
