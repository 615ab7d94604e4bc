// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"os"
	"sync"
	"sync/atomic"
	"time"

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
	// executions and judge are Executed and Judge of capture.Probes.
	executions func(pid uint32) uint32
	judge      func(pid, executed uint32, v capture.Verdict) error
	// invalidate makes the workload of a process be looked up anew.
	invalidate func(pid uint32)
	// hurry makes the reader of process records look now.
	hurry func()
	// any: every process gets the default verdict; there is nothing to do.
	any bool
	// generation changes whenever a process's identity may have.
	generation atomic.Uint64

	mu       sync.RWMutex
	verdicts map[uint32]verdict
	// parents are those of processes that were made by one without a verdict.
	parents map[uint32]uint32
}

// maxParents bounds selection.parents between two sweeps.
const maxParents = 1 << 12

type verdict struct {
	selected bool
	executed uint32    // of the process when it was judged, as capture.Probes counts
	exited   time.Time // zero while it runs
}

// A process's last segments may still be in another ring when its exit is read.
const exitGrace = 10 * time.Second

func newSelection(c config.Discovery, logger *zap.Logger) (*selection, error) {
	matcher, err := c.Compile()
	if err != nil {
		return nil, err
	}
	return &selection{
		matcher:  matcher,
		scanner:  discovery.NewScanner("/proc"),
		logger:   logger,
		any:      matcher.Trivial(),
		verdicts: map[uint32]verdict{},
		parents:  map[uint32]uint32{},
	}, nil
}

// scan judges every process there is.
func (s *selection) scan() {
	if s.any {
		return
	}
	for _, pid := range discovery.Scan("/proc") {
		s.examine(pid, "", false)
	}
}

// rescan judges again where the verdict can change while a process runs.
func (s *selection) rescan() {
	s.sweep()
	if s.matcher.NeedsPorts() {
		s.scan()
	}
}

// executed is told that a process runs another program now: file, in case it is
// gone already. The kernel watches it until it is judged.
func (s *selection) executed(pid uint32, file string) {
	s.generation.Add(1)
	if !s.any {
		s.examine(pid, file, true)
	}
}

// listens is told that a process listens on one more port.
func (s *selection) listens(pid uint32) {
	if s.matcher.NeedsPorts() {
		s.examine(pid, "", false)
	}
}

// examine judges one process and tells the kernel, if it is news.
func (s *selection) examine(pid uint32, file string, news bool) {
	if pid == uint32(os.Getpid()) {
		return
	}
	executed := s.executions(pid)
	process := s.scanner.Process(pid)
	if process.Exe == "" {
		process.Exe = file
	}
	selected := s.matcher.Match(process).Selected
	before, known := s.verdict(pid)
	s.record(pid, selected, executed)
	if known && before == selected && !news {
		return
	}
	s.generation.Add(1)
	if known {
		s.invalidate(pid) // a rule may name it now
	}
	v := capture.VerdictIgnored
	if selected {
		v = capture.VerdictSelected
	}
	if err := s.judge(pid, executed, v); err != nil {
		s.logger.Warn("cannot tell the kernel about a process", zap.Error(err))
	}
}

// forked is told that a process has made another one, which is as selected as it is.
func (s *selection) forked(pid, parent uint32) {
	if s.any {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.verdicts[parent]; ok {
		s.verdicts[pid] = verdict{selected: v.selected, executed: v.executed}
		return
	}
	// The parent has executed something and is not judged yet.
	if len(s.parents) < maxParents {
		s.parents[pid] = parent
	}
}

// parent of a process, which may be gone.
func (s *selection) parent(pid uint32) uint32 {
	s.mu.RLock()
	p, ok := s.parents[pid]
	s.mu.RUnlock()
	if ok {
		return p
	}
	return s.scanner.Parent(pid)
}

// forget is told that a process has exited.
func (s *selection) forget(pid uint32) {
	s.generation.Add(1)
	if s.any {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.verdicts[pid]; ok {
		v.exited = time.Now()
		s.verdicts[pid] = v
	}
}

// sweep drops what was forgotten a while ago.
func (s *selection) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for pid, v := range s.verdicts {
		if !v.exited.IsZero() && time.Since(v.exited) > exitGrace {
			delete(s.verdicts, pid)
		}
	}
	clear(s.parents)
}

// allows reports whether exchanges of a process are wanted. The kernel filters
// already; this is for what passed before it was told. first says that the caller
// is the reader of process records itself; idle is called while it is waited for.
func (s *selection) allows(pid uint32, first bool, idle func()) bool {
	if s.any {
		return true
	}
	if selected, known := s.current(pid); known {
		return selected
	}
	// A child is as selected as its parent.
	if parent, ok := s.verdict(s.parent(pid)); ok && parent {
		s.record(pid, true, s.executions(pid))
		return true
	}
	// Executed just now: the record of that is in the first ring, as it came
	// before the process's first byte.
	if !first {
		s.hurry()
		for range 40 {
			idle()
			time.Sleep(500 * time.Microsecond)
			if selected, known := s.current(pid); known {
				return selected
			}
		}
	}
	s.examine(pid, "", false)
	selected, _ := s.verdict(pid)
	return selected
}

func (s *selection) record(pid uint32, selected bool, executed uint32) {
	s.mu.Lock()
	s.verdicts[pid] = verdict{selected: selected, executed: executed}
	s.mu.Unlock()
}

// current is the verdict on a process, unless it was one on a program that the process has
// left since. Only those that are not selected are asked about: the kernel has few.
func (s *selection) current(pid uint32) (selected, known bool) {
	s.mu.RLock()
	v, known := s.verdicts[pid]
	s.mu.RUnlock()
	if known && !v.selected && v.exited.IsZero() && s.executions(pid) != v.executed {
		return false, false
	}
	return v.selected, known
}

func (s *selection) verdict(pid uint32) (selected, known bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, known := s.verdicts[pid]
	return v.selected, known
}
