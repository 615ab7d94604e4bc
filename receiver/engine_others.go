// SPDX-License-Identifier: Apache-2.0

//go:build !(linux && (amd64 || arm64))

package receiver

import (
	"context"
	"fmt"
	"runtime"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"
)

// engineSettings has the fields of engine.Settings, which does not compile here.
type engineSettings struct {
	Config    *Config
	Logger    *zap.Logger
	Telemetry component.TelemetrySettings
	Traces    func(ptrace.Traces)
	Metrics   func(pmetric.Metrics)
	Status    func(*componentstatus.Event)
	Version   string
}

// unsupported is the engine of platforms without eBPF: configurations can be
// validated there, but nothing can be observed.
type unsupported struct{}

func newEngine(engineSettings) startStopper { return unsupported{} }

func (unsupported) Start(context.Context) error {
	return fmt.Errorf("the ebpf receiver needs Linux on amd64 or arm64, and this is %s on %s: run the Collector there, or remove the receiver from the pipelines",
		runtime.GOOS, runtime.GOARCH)
}

func (unsupported) Shutdown(context.Context) error { return nil }
