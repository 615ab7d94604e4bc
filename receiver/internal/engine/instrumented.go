// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/runtimes"
)

// instrumented knows the processes that export spans themselves, so that their requests
// are not in traces twice.
//
// The proof is an export of traces that they send and that is accepted. One that receives
// exports, too, or is a proxy, passes on those of others: that is a Collector.
type instrumented struct {
	mode     config.Instrumented
	contexts *causality.Table
	logger   *zap.Logger
	// kind and suspect look at a process.
	kind    func(pid uint32) runtimes.Kind
	suspect func(pid uint32) string

	// skips: some process is left out.
	skips atomic.Bool
	mu    sync.RWMutex
	known map[uint32]sdk
	named map[string]struct{}
}

// sdk is what is known of a process.
type sdk struct {
	exports, receives bool
	// looked: suspect was asked, and suspected is the answer.
	looked, suspected bool
}

const (
	maxInstrumented = 1 << 14
	// maxNamed bounds what is logged, by service.
	maxNamed = 64
)

func newInstrumented(mode config.Instrumented, contexts *causality.Table, kind func(pid uint32) runtimes.Kind, logger *zap.Logger) *instrumented {
	i := &instrumented{
		mode: mode, contexts: contexts, logger: logger, kind: kind,
		known: map[uint32]sdk{}, named: map[string]struct{}{},
	}
	i.suspect = func(pid uint32) string {
		image := procfs.FS{}.Image(pid)
		return discovery.SDK(kind(pid), image.Args, image.Env, func() []string { return procfs.FS{}.MappedFiles(pid) })
	}
	if mode == config.InstrumentedSkipAll {
		i.skips.Store(true)
	}
	return i
}

// begin is called with every exchange, when its head is read and it is in the table of
// contexts.
func (i *instrumented) begin(x *exchange.Exchange) {
	if i.skips.Load() && i.skipped(x) {
		i.contexts.Hide(x)
	}
}

// end reports whether an exchange is left out of traces, and learns from it.
func (i *instrumented) end(x *exchange.Exchange) (skip bool) {
	if i.mode == config.InstrumentedReport {
		return false
	}
	if e, ok := x.Detail.(exchange.Exporter); ok {
		if export, done := e.ExportsTraces(); export && done {
			i.learn(x)
		}
	}
	return i.skips.Load() && i.skipped(x)
}

func (i *instrumented) learn(x *exchange.Exchange) {
	i.mu.RLock()
	s := i.known[x.PID]
	i.mu.RUnlock()
	switch {
	case x.Role != exchange.RoleClient:
		if s.receives {
			return
		}
		s.receives = true
	case s.exports:
		return
	default:
		switch i.kind(x.PID) {
		case runtimes.Nginx, runtimes.HAProxy, runtimes.Envoy, runtimes.Apache:
			s.receives = true
		}
		s.exports = true
	}
	i.keep(x.PID, s)
	if s.exports && !s.receives {
		i.skips.Store(true)
		i.tell(x, "it exports them itself")
	}
}

func (i *instrumented) keep(pid uint32, s sdk) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, ok := i.known[pid]; ok || len(i.known) < maxInstrumented {
		i.known[pid] = s
	}
}

func (i *instrumented) skipped(x *exchange.Exchange) bool {
	i.mu.RLock()
	s, ok := i.known[x.PID]
	i.mu.RUnlock()
	if i.mode == config.InstrumentedSkipAll && !(ok && s.looked) {
		because := i.suspect(x.PID)
		s.looked, s.suspected = true, because != ""
		i.keep(x.PID, s)
		if s.suspected {
			i.tell(x, because)
		}
	}
	return !s.receives && (s.exports || s.suspected)
}

// tell says, once a service, that it is left out.
func (i *instrumented) tell(x *exchange.Exchange, because string) {
	name := x.Workload.Instance.ServiceName
	i.mu.Lock()
	_, told := i.named[name]
	if told || len(i.named) >= maxNamed {
		i.mu.Unlock()
		return
	}
	i.named[name] = struct{}{}
	i.mu.Unlock()
	i.logger.Info("traces of a process are left to the OpenTelemetry SDK in it (discovery.instrumented)",
		zap.String("service", name), zap.Uint32("pid", x.PID), zap.String("because", because))
}

// forget is told of processes that exit or run something else.
func (i *instrumented) forget(pid uint32) {
	if !i.skips.Load() {
		i.mu.RLock()
		_, ok := i.known[pid]
		i.mu.RUnlock()
		if !ok {
			return
		}
	}
	i.mu.Lock()
	delete(i.known, pid)
	i.mu.Unlock()
}
