// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"os"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/capture"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery"
)

// selection keeps the kernel's list of processes to watch in step with the
// discovery rules.
type selection struct {
	matcher *discovery.Matcher
	scanner *discovery.Scanner
	logger  *zap.Logger
	set     func(pid uint32, v capture.Verdict) error
	// any: every process gets the default verdict; there is nothing to do.
	any bool
	// generation changes whenever a process's identity may have.
	generation atomic.Uint64

	mu       sync.RWMutex
	verdicts map[uint32]bool
}

func newSelection(c config.Discovery, logger *zap.Logger) (*selection, error) {
	matcher, err := discovery.Compile(rules(c.Include), rules(c.Exclude))
	if err != nil {
		return nil, err
	}
	return &selection{
		matcher:  matcher,
		scanner:  discovery.NewScanner("/proc"),
		logger:   logger,
		any:      len(c.Include) == 0 && len(c.Exclude) == 0,
		verdicts: map[uint32]bool{},
	}, nil
}

func rules(from []config.Rule) []discovery.Rule {
	to := make([]discovery.Rule, len(from))
	for i, r := range from {
		to[i] = discovery.Rule{
			Exe: r.Exe, Cmdline: r.Cmdline, OpenPorts: r.OpenPorts, PIDs: r.PIDs, Environment: r.Environment,
			ServiceName: r.ServiceName, ServiceNamespace: r.ServiceNamespace,
		}
	}
	return to
}

// scan judges every process there is.
func (s *selection) scan() {
	if s.any {
		return
	}
	for _, pid := range discovery.Scan("/proc") {
		s.examine(pid)
	}
}

// rescan judges again where the verdict can change while a process runs.
func (s *selection) rescan() {
	if s.matcher.NeedsPorts() {
		s.scan()
	}
}

// examine judges one process and tells the kernel.
func (s *selection) examine(pid uint32) {
	s.generation.Add(1)
	if s.any || pid == uint32(os.Getpid()) {
		return
	}
	selected := s.matcher.Match(s.scanner.Process(pid)).Selected
	s.mu.Lock()
	old, known := s.verdicts[pid]
	s.verdicts[pid] = selected
	s.mu.Unlock()
	if known && old == selected {
		return
	}
	verdict := capture.VerdictIgnored
	if selected {
		verdict = capture.VerdictSelected
	}
	if err := s.set(pid, verdict); err != nil {
		s.logger.Warn("cannot tell the kernel about a process", zap.Error(err))
	}
}

// forget drops a process that has exited.
func (s *selection) forget(pid uint32) {
	s.generation.Add(1)
	if s.any {
		return
	}
	s.mu.Lock()
	delete(s.verdicts, pid)
	s.mu.Unlock()
}

// allows reports whether exchanges of a process are wanted. The kernel filters
// already; this is for what passed before it knew. Processes not judged yet
// (children of judged ones) inherit the kernel's view.
func (s *selection) allows(pid uint32) bool {
	if s.any {
		return true
	}
	s.mu.RLock()
	selected, known := s.verdicts[pid]
	s.mu.RUnlock()
	return selected || !known
}
