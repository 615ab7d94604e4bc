// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/preflight"
)

// What the host lacks stays part of the status while other things come and go.
func TestStatus(t *testing.T) {
	var last *componentstatus.Event
	e := New(Settings{Status: func(event *componentstatus.Event) { last = event }})
	lost := errors.New("12 socket operations were lost")
	able := preflight.Kernel{Uprobes: true}

	e.report = preflight.NewReport(&preflight.Host{Release: "6.12.0", Effective: ^preflight.Capabilities(0)}, able, preflight.Wants{}, "sock")
	e.status(nil)
	require.Equal(t, componentstatus.StatusOK, last.Status())
	kernel, _ := last.Attributes().Get("kernel")
	require.Equal(t, "6.12.0", kernel.Str())
	e.status(lost)
	require.Equal(t, componentstatus.StatusRecoverableError, last.Status())
	require.EqualError(t, last.Err(), lost.Error())
	e.status(nil)
	require.Equal(t, componentstatus.StatusOK, last.Status())

	e.report = preflight.NewReport(&preflight.Host{}, able, preflight.Wants{}, "sock")
	for _, wrong := range []error{nil, lost, nil} {
		e.status(wrong)
		require.Equal(t, componentstatus.StatusRecoverableError, last.Status())
		require.ErrorContains(t, last.Err(), "missing CAP_DAC_READ_SEARCH")
		if wrong != nil {
			require.ErrorIs(t, last.Err(), wrong)
		}
		features, _ := last.Attributes().Get("features_missing")
		require.Contains(t, features.AsString(), "process_details")
	}
}

// Who keeps everything is told once what that means; who has decided is not.
func TestAdvise(t *testing.T) {
	sampled := config.Default()
	sampled.Sampler.Name = "always_on"
	rules := config.Default()
	rules.Discovery.Include = []config.Rule{{Exe: "*/checkout"}}
	for name, c := range map[string]struct {
		config  *config.Config
		traces  func(ptrace.Traces)
		metrics func(pmetric.Metrics)
		want    int
	}{
		"default": {config.Default(), func(ptrace.Traces) {}, nil, 1},
		"metrics": {config.Default(), nil, func(pmetric.Metrics) {}, 0},
		"sampler": {sampled, func(ptrace.Traces) {}, nil, 0},
		"rules":   {rules, func(ptrace.Traces) {}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.InfoLevel)
			e := New(Settings{Config: c.config, Logger: zap.New(core), Traces: c.traces, Metrics: c.metrics})
			require.NoError(t, e.build())
			e.advise()
			require.Equal(t, c.want, logs.Len())
		})
	}
}
