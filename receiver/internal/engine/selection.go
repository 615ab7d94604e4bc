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
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/runtimes"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/workload"
)

// selection keeps the kernel's list of processes to watch in step with the
// discovery rules.
//
// A process is judged when it executes something, when the pod it runs in changes, when it
// begins to listen and, where rules ask for languages, while it is young. One that was
// forked has the decision of the one that forked it, as in the kernel, unless a rule
// says something about it.
type selection struct {
	matcher *discovery.Matcher
	needs   discovery.Needs
	scanner *discovery.Scanner
	logger  *zap.Logger
	// executions and judge are Executed and Judge of capture.Probes.
	executions func(pid uint32) uint32
	judge      func(pid, executed uint32, v capture.Verdict) (before capture.Verdict, err error)
	// invalidate makes the workload of a process be looked up anew.
	invalidate func(pid uint32)
	// hurry makes the reader of process records look now.
	hurry func()
	// taken and dropped are told of processes that are selected, or not any more; they may be nil.
	taken, dropped func(pid uint32)
	// kind of a process's runtime, locate its container and pod, container the name of
	// one where no cluster knows it.
	kind      func(pid uint32) runtimes.Kind
	locate    func(pid uint32) (container, pod string)
	container func(pid uint32, id string) string
	// cluster is nil if there is none.
	cluster cluster.View
	// any: every process gets the default verdict; there is nothing to do.
	any bool
	// generation changes whenever a process's identity may have.
	generation atomic.Uint64
	// resumed: a process was selected again that had not been for a while.
	resumed atomic.Bool

	// judging is held, by process, from looking at it to telling the kernel.
	judging [64]sync.Mutex

	mu       sync.RWMutex
	verdicts map[uint32]verdict
	// parents are those of processes that were made by one without a verdict.
	parents map[uint32]uint32

	recent recent
	pods   changedPods
}

// maxParents bounds selection.parents between two sweeps.
const maxParents = 1 << 12

type verdict struct {
	decision discovery.Decision
	executed uint32    // of the process when it was judged, as capture.Probes counts
	exited   time.Time // zero while it runs
	// container and pod are where it runs, if rules ask for that.
	container, pod string
	// inherited: the decision is that of the process that forked it.
	inherited bool
	// since is when it was selected again (CLOCK_MONOTONIC, ns); 0 if it always was.
	since uint64
	// at is when it was looked at (CLOCK_MONOTONIC, ns); 0 if it was not.
	at uint64
	// unseen: it was gone, and judged by the record of what it executed.
	unseen bool
}

// A process's last segments may still be in another ring when its exit is read.
const exitGrace = 10 * time.Second

func newSelection(c config.Discovery, look *inspectors, logger *zap.Logger) (*selection, error) {
	matcher, err := c.Compile()
	if err != nil {
		return nil, err
	}
	s := &selection{
		matcher: matcher,
		needs:   matcher.Needs(),
		scanner: discovery.NewScanner("/proc"),
		logger:  logger,
		kind:    look.runtimes.Kind,
		locate:  func(pid uint32) (string, string) { return workload.Locate(procfs.FS{}, pid) },
		container: func(pid uint32, id string) string {
			return look.containers.Names(pid, id).Container
		},
		any:      matcher.Trivial(),
		verdicts: map[uint32]verdict{},
		parents:  map[uint32]uint32{},
		pods:     changedPods{wake: make(chan struct{}, 1)},
	}
	return s, nil
}

// connect is told what knows the cluster, nil if there is none, before anything is
// judged.
func (s *selection) connect(view cluster.View) {
	s.cluster = view
	if view != nil && s.needs.Pods {
		view.OnChange(s.pods.add)
	}
	if view == nil && s.matcher.NeedsCluster() {
		s.logger.Warn("discovery rules with k8s match nothing: the receiver is not connected to a cluster")
	}
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
	s.sweep()
	if s.needs.Ports {
		s.scan()
	}
}

// executed is told that a process runs another program since a time (CLOCK_MONOTONIC, ns):
// file, in case it is gone already. The kernel watches it until it is judged.
func (s *selection) executed(pid uint32, file string, since uint64) {
	s.generation.Add(1)
	if s.any {
		return
	}
	s.examineBelow(pid, file, since, maxForks)
	if s.needs.Languages {
		s.recent.add(pid, time.Now())
	}
}

// listens is told that a process listens on one more port.
func (s *selection) listens(pid uint32) {
	if s.needs.Ports {
		s.scanner.Listens(pid)
		s.examine(pid)
	}
}

// maxForks bounds the walk to who forked a process, and those before.
const maxForks = 16

// examine judges one process and tells the kernel, if it is news.
func (s *selection) examine(pid uint32) { s.examineBelow(pid, "", 0, maxForks) }

// examineBelow judges it, and those it has forked. since is 0 if it has executed nothing.
func (s *selection) examineBelow(pid uint32, file string, since uint64, forks int) {
	if pid == uint32(os.Getpid()) {
		return
	}
	unknown, turned := s.try(pid, file, since, forks == 0)
	if unknown != 0 {
		s.examineBelow(unknown, "", 0, forks-1)
		_, turned = s.try(pid, file, since, true)
	}
	if !turned || forks == 0 {
		return
	}
	// Those it has forked until the kernel was told have the decision before.
	for _, child := range s.scanner.Children(pid) {
		s.examineBelow(child, "", 0, forks-1)
	}
}

// try examines a process, and reports whether the verdict has turned while it ran the same
// program. unknown is the process that forked it, if the verdict hangs on that one's and
// it has none: nothing is decided then, but alone.
func (s *selection) try(pid uint32, file string, since uint64, alone bool) (unknown uint32, turned bool) {
	news := since != 0
	lock := &s.judging[pid%uint32(len(s.judging))]
	lock.Lock()
	defer lock.Unlock()
	before, known := s.verdict(pid)
	v := verdict{executed: s.executions(pid), container: before.container, pod: before.pod, at: monotonic()}
	process := s.process(pid, file, &v)
	if process.Exe == file && !s.scanner.Alive(pid) {
		if !news || known && before.at > since {
			return 0, false // more is known of it than can be seen now, or the record of its start will tell
		}
		v.at, v.unseen = 0, true
	}
	v.decision = s.matcher.Match(process)
	if !v.decision.Decided() && !news {
		if unknown = s.inherit(process, &v, before); unknown != 0 && !alone {
			return unknown, false
		}
	}
	same := known && before.decision.Selected == v.decision.Selected
	// (Of another program the verdict may have been, whose record is still to be read.)
	turned = known && !same && !news && before.executed == v.executed
	v.since = before.since
	if turned && v.decision.Selected {
		v.since = monotonic()
		s.resumed.Store(true)
	}
	s.record(pid, v)
	if same && before.decision.Rule == v.decision.Rule && !news {
		return 0, false
	}
	s.generation.Add(1)
	if known {
		s.invalidate(pid) // a rule may name it now
	}
	if !same || news {
		before := s.tell(pid, &v)
		// What it has forked since it executed this may have been ignored, or have the decision
		// on what it ran before.
		turned = turned || news && (known && !same || before == capture.VerdictIgnored && v.decision.Selected)
	}
	return 0, turned
}

// tell puts a verdict in force, and returns the one that was.
func (s *selection) tell(pid uint32, v *verdict) capture.Verdict {
	judged, then := capture.VerdictIgnored, s.dropped
	if v.decision.Selected {
		judged, then = capture.VerdictSelected, s.taken
	}
	before, err := s.judge(pid, v.executed, judged)
	if err != nil {
		s.logger.Warn("cannot tell the kernel about a process", zap.Error(err))
	}
	if then != nil {
		then(pid)
	}
	return before
}

// inherit gives a process that was forked and has executed nothing since the decision on
// the one that forked it.
func (s *selection) inherit(process *discovery.Process, v *verdict, before verdict) (unknown uint32) {
	parent := s.scanner.ForkedBy(process.PID)
	if parent == 0 {
		// Nobody can tell any more; or it was never so.
		if before.inherited && before.executed == v.executed && before.decision.Inherits(process) {
			v.decision, v.inherited = before.decision, true
		}
		return 0
	}
	above, known := s.verdict(parent)
	if !known {
		return parent
	}
	if above.decision.Inherits(process) {
		v.decision, v.inherited = above.decision, true
	}
	return 0
}

// process reads a process for the rules. Where it runs is noted in v, which has that
// from before in case it is gone.
func (s *selection) process(pid uint32, file string, v *verdict) *discovery.Process {
	p := s.scanner.Process(pid)
	if p.Exe == "" {
		p.Exe = file
	}
	p.Language = sync.OnceValue(func() runtimes.Kind { return s.kind(pid) })
	if s.needs.Pods {
		if container, pod := s.locate(pid); container != "" || pod != "" || p.Exe != "" && file == "" {
			v.container, v.pod = container, pod
		}
		p.Place = sync.OnceValue(func() discovery.Place { return s.place(pid, v.container, v.pod) })
	}
	return p
}

func (s *selection) place(pid uint32, container, pod string) (p discovery.Place) {
	if s.cluster != nil && container != "" {
		p.Pod, p.Container, _ = s.cluster.Container(container)
	}
	if s.cluster != nil && p.Pod == nil && pod != "" {
		p.Pod, _ = s.cluster.Pod(pod)
	}
	if p.Container == "" && container != "" && s.needs.Containers {
		p.Container = s.container(pid, container)
	}
	return p
}

// decision is what the rules say about a process, as the kernel was told.
func (s *selection) decision(pid uint32) discovery.Decision {
	if s.any {
		return discovery.Decision{Selected: true}
	}
	if v, known := s.verdict(pid); known {
		return v.decision
	}
	s.examine(pid)
	v, _ := s.verdict(pid)
	return v.decision
}

// forked is told that a process has made another one, which is as selected as it is.
func (s *selection) forked(pid, parent uint32) {
	if s.any {
		return
	}
	v, ok := s.verdict(parent)
	ok = ok && s.forkedAs(pid, parent, v)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok {
		v.inherited, v.exited, v.at = true, time.Time{}, 0
		s.verdicts[pid] = v
		return
	}
	// The parent has executed something and is not judged yet.
	if len(s.parents) < maxParents {
		s.parents[pid] = parent
	}
}

// forkedAs reports whether a verdict on the parent of a process is on the program that it ran
// when it forked that one, as far as that can be told: the kernel gives children its count
// of executions.
func (s *selection) forkedAs(pid, parent uint32, v verdict) bool {
	for _, p := range []uint32{pid, parent} {
		if n := s.executions(p); n != 0 {
			return n == v.executed
		}
	}
	return true
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
	s.recent.remove(pid)
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.verdicts[pid]; ok {
		v.exited = time.Now()
		s.verdicts[pid] = v
	}
}

// sweepBatch is how many processes one sweep asks for whose end it was not told of.
const sweepBatch = 512

// sweep drops what was forgotten a while ago, and finds processes whose end was lost.
func (s *selection) sweep() {
	var running []uint32 // some of them: maps begin anywhere
	s.mu.RLock()
	for pid, v := range s.verdicts {
		if len(running) == sweepBatch {
			break
		}
		if v.exited.IsZero() {
			running = append(running, pid)
		}
	}
	s.mu.RUnlock()
	for _, pid := range running {
		if !s.scanner.Exists(pid) {
			s.forget(pid)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for pid, v := range s.verdicts {
		if !v.exited.IsZero() && time.Since(v.exited) > exitGrace {
			delete(s.verdicts, pid)
		}
	}
	clear(s.parents)
}

// The record of the start of a process that is gone is read within this time.
const hurriesWithin = 200 * time.Millisecond

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
	if s.selectedAsForked(pid) {
		return true
	}
	// If it is gone, the record of what it executed says more: that is in the first ring,
	// since it came before the process's first byte.
	deadline := time.Now().Add(hurriesWithin)
	if !first {
		s.hurry()
	}
	for {
		if s.scanner.Alive(pid) {
			s.examine(pid)
		}
		if selected, known := s.current(pid); known {
			return selected
		}
		if s.selectedAsForked(pid) {
			return true
		}
		if first || time.Now().After(deadline) {
			s.record(pid, verdict{exited: time.Now()}) // nobody will ever know
			return false
		}
		idle()
		pause()
	}
}

// selectedAsForked reports whether a process is selected because its parent is.
func (s *selection) selectedAsForked(pid uint32) bool {
	from := s.parent(pid)
	v, known := s.verdict(from)
	if !known || !v.decision.Selected || !s.forkedAs(pid, from, v) {
		return false
	}
	v.inherited, v.exited, v.executed, v.at = true, time.Time{}, s.executions(pid), 0
	s.record(pid, v)
	return true
}

// interrupted reports whether a process was not watched for a while since a time
// (CLOCK_MONOTONIC, ns), so that what began then may have ended in between.
func (s *selection) interrupted(pid uint32, begun uint64) bool {
	if !s.resumed.Load() {
		return false
	}
	v, _ := s.verdict(pid)
	return begun < v.since
}

func (s *selection) record(pid uint32, v verdict) {
	s.mu.Lock()
	s.verdicts[pid] = v
	s.mu.Unlock()
}

// current is the verdict on a process, unless it was one on a program that the process has
// left since. Only those that are not selected are asked about: the kernel has few. One that
// is gone may have executed more, until the record of its exit is read.
func (s *selection) current(pid uint32) (selected, known bool) {
	v, known := s.verdict(pid)
	if known && !v.decision.Selected && v.exited.IsZero() && (v.unseen || s.executions(pid) != v.executed) {
		return false, false
	}
	return v.decision.Selected, known
}

func (s *selection) verdict(pid uint32) (v verdict, known bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, known = s.verdicts[pid]
	return v, known
}
