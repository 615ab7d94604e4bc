// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/capture"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/runtimes"
)

func TestSelection(t *testing.T) {
	s, err := newSelection(config.Discovery{Include: []config.Rule{{Exe: "*/sleep"}}}, newInspectors(), zap.NewNop())
	require.NoError(t, err)
	told := map[uint32][]capture.Verdict{}
	s.executions = func(uint32) uint32 { return 0 }
	s.judge = func(pid, _ uint32, v capture.Verdict) (capture.Verdict, error) {
		told[pid] = append(told[pid], v)
		return 0, nil
	}
	invalidated := 0
	s.invalidate = func(uint32) { invalidated++ }
	hurried := 0
	s.hurry = func() { hurried++ }

	start := func(name string, args ...string) uint32 {
		c := exec.Command(name, args...)
		require.NoError(t, c.Start())
		t.Cleanup(func() {
			_ = c.Process.Kill()
			_ = c.Wait()
		})
		time.Sleep(20 * time.Millisecond) // it may still be us, before execve
		return uint32(c.Process.Pid)
	}
	wanted, other := start("sleep", "60"), start("tail", "-f", "/dev/null")
	s.scan()
	require.Equal(t, []capture.Verdict{capture.VerdictSelected}, told[wanted])
	require.Equal(t, []capture.Verdict{capture.VerdictIgnored}, told[other])
	require.True(t, s.allows(wanted, true, func() {}))
	require.False(t, s.allows(other, true, func() {}))

	s.scan()
	require.Len(t, told[wanted], 1, "no news")
	s.executed(wanted, "/usr/bin/sleep", monotonic())
	require.Len(t, told[wanted], 2, "the kernel watches what was executed until it is told")

	// Gone before it could be looked at: what it executed decides.
	const gone = 1 << 22
	s.executed(gone, "/usr/bin/sleep", monotonic())
	require.True(t, s.allows(gone, true, func() {}))
	s.forget(gone)
	require.True(t, s.allows(gone, true, func() {}), "its last segments may still come")

	// Somebody else asks before the record of that is read, and after.
	const asked = gone + 1
	require.False(t, s.decision(asked).Selected)
	later := func(pid uint32, since uint64) <-chan struct{} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(20 * time.Millisecond)
			s.executed(pid, "/usr/bin/sleep", since)
		}()
		return done
	}
	read := later(asked, monotonic())
	require.True(t, s.allows(asked, false, func() {}))
	<-read
	s.examine(asked)
	require.True(t, s.decision(asked).Selected)
	// It was looked at before the record was read, and is gone since.
	const looked = gone + 2
	s.record(looked, verdict{decision: discovery.Decision{Selected: true}, at: 1000})
	s.executed(looked, "/usr/bin/env", 999)
	require.True(t, s.decision(looked).Selected)
	s.executed(looked, "/usr/bin/env", 1001)
	require.False(t, s.decision(looked).Selected)
	read = later(looked, 1002)
	require.True(t, s.allows(looked, false, func() {}))
	<-read
	require.True(t, s.decision(looked).Selected, "one after the other")
	const never = gone + 3
	require.False(t, s.allows(never, false, func() {}), "nobody can tell")

	// Not judged yet, and the record of its start is in another reader's ring.
	late := start("tail", "-f", "/dev/null")
	require.False(t, s.allows(late, false, func() {}))
	require.Equal(t, 4, hurried)

	// A verdict that changes names the process anew.
	s.record(other, verdict{decision: discovery.Decision{Selected: true}})
	s.examine(other)
	require.Positive(t, invalidated)
}

func TestSelectionOfEverything(t *testing.T) {
	s, err := newSelection(config.Discovery{}, newInspectors(), zap.NewNop())
	require.NoError(t, err)
	s.executed(1, "", monotonic())
	s.scan()
	require.True(t, s.allows(1, true, func() {}))
	require.Empty(t, s.verdicts)
}

// fakes makes a selection that tells a map instead of the kernel.
func fakes(t *testing.T, c config.Discovery) (s *selection, told map[uint32][]capture.Verdict) {
	s, err := newSelection(c, newInspectors(), zap.NewNop())
	require.NoError(t, err)
	told = map[uint32][]capture.Verdict{}
	s.executions = func(uint32) uint32 { return 0 }
	s.judge = func(pid, _ uint32, v capture.Verdict) (capture.Verdict, error) {
		told[pid] = append(told[pid], v)
		return 0, nil
	}
	s.invalidate, s.hurry = func(uint32) {}, func() {}
	return s, told
}

// What a process did before it was selected is not reported, unless it was another program
// that was not selected: the kernel has watched it ever since.
func TestProgramsInterruptNothing(t *testing.T) {
	p := start(t, nil, python, "testdata/server.py")
	for executed, interrupted := range map[uint32]bool{1: false, 2: true} {
		s, _ := fakes(t, config.Discovery{Include: []config.Rule{{PIDs: []int{p.pid}}}})
		s.executions = func(uint32) uint32 { return 2 }
		begun := monotonic()
		s.record(uint32(p.pid), verdict{executed: executed})
		s.examine(uint32(p.pid))
		require.True(t, s.allows(uint32(p.pid), true, func() {}))
		require.Equal(t, interrupted, s.interrupted(uint32(p.pid), begun))
	}
}

// forks is a server that has forked two workers.
func forks(t *testing.T) (p *program, workers []uint32) {
	p = start(t, nil, python, "testdata/server.py", "--workers", "2")
	require.Eventually(t, func() bool {
		workers = discovery.NewScanner("/proc").Children(uint32(p.pid))
		return len(workers) == 2
	}, 5*time.Second, 10*time.Millisecond)
	return p, workers
}

// A verdict on the program before that took the place of "watched until judged" may have
// gone to workers that were forked meanwhile.
func TestOvertakenVerdict(t *testing.T) {
	p, workers := forks(t)
	s, told := fakes(t, config.Discovery{Include: []config.Rule{{Cmdline: "*server.py*"}}})
	s.executed(uint32(p.pid), "", monotonic())
	require.Equal(t, []capture.Verdict{capture.VerdictSelected}, told[uint32(p.pid)])
	require.Empty(t, told[workers[0]])
	judge := s.judge
	s.judge = func(pid, executed uint32, v capture.Verdict) (capture.Verdict, error) {
		_, err := judge(pid, executed, v)
		return capture.VerdictIgnored, err
	}
	s.executed(uint32(p.pid), "", monotonic())
	for _, w := range workers {
		require.Equal(t, []capture.Verdict{capture.VerdictSelected}, told[w])
	}
}

// What is known of a process may be of a program that it has left before it forked another one.
func TestForkedByAnotherProgram(t *testing.T) {
	const parent, child = 1 << 22, 1<<22 + 1
	s, _ := fakes(t, config.Discovery{Include: []config.Rule{{PIDs: []int{1}}}})
	s.record(parent, verdict{decision: discovery.Decision{Selected: true}, executed: 1})
	executed := map[uint32]uint32{parent: 2, child: 2}
	s.executions = func(pid uint32) uint32 { return executed[pid] }
	s.forked(child, parent)
	_, known := s.verdict(child)
	require.False(t, known)
	require.False(t, s.selectedAsForked(child))
	// Gone already.
	delete(executed, child)
	require.False(t, s.selectedAsForked(child))
	// It was forked before.
	executed[child] = 1
	s.forked(child, parent)
	v, known := s.verdict(child)
	require.True(t, known && v.decision.Selected && v.inherited)
	require.True(t, s.selectedAsForked(child))
}

// Workers that were forked before anybody looked have the decision on their master.
func TestForkedBefore(t *testing.T) {
	p, workers := forks(t)
	master := config.Rule{PIDs: []int{p.pid}, ServiceName: "x"}
	for name, c := range map[string]struct {
		rules config.Discovery
		want  capture.Verdict
	}{
		"include": {config.Discovery{Include: []config.Rule{master}}, capture.VerdictSelected},
		"exclude": {config.Discovery{Exclude: []config.Rule{{PIDs: []int{p.pid}}}}, capture.VerdictIgnored},
	} {
		t.Run(name, func(t *testing.T) {
			s, told := fakes(t, c.rules)
			// Children first: ids may have begun anew.
			for _, pid := range append(workers, uint32(p.pid)) {
				s.examine(pid)
			}
			for _, pid := range append(workers, uint32(p.pid)) {
				require.Equal(t, []capture.Verdict{c.want}, told[pid])
				if name == "include" {
					require.Equal(t, "x", s.decision(pid).Rule.ServiceName)
				}
			}
			require.False(t, s.verdicts[uint32(p.pid)].inherited)
			require.True(t, s.verdicts[workers[0]].inherited)
		})
	}
}

// What an exchange began with before its process was left alone for a while says nothing
// about how it ended.
func TestInterrupted(t *testing.T) {
	s, _ := fakes(t, config.Discovery{Include: []config.Rule{{Exe: "*/python3*"}}})
	p := start(t, nil, python, "testdata/server.py")
	pid := uint32(p.pid)
	s.examine(pid)
	begun := monotonic()
	require.False(t, s.interrupted(pid, begun))
	v, _ := s.verdict(pid)
	v.decision = discovery.Decision{}
	s.record(pid, v) // as if it had been opted out
	s.examine(pid)
	require.True(t, s.interrupted(pid, begun))
	require.False(t, s.interrupted(pid, monotonic()))
}

// Processes that are not selected are not looked into, and nothing is attached to what they
// run.
func TestExaminerLeavesOthersAlone(t *testing.T) {
	program := []string{python, "-c", "import asyncio, time\nprint('listening 1', flush=True)\ntime.sleep(60)"}
	chosen, other := start(t, nil, program...), start(t, nil, program...)
	s, _ := fakes(t, config.Discovery{Include: []config.Rule{{PIDs: []int{chosen.pid}}}})
	set, watched := map[uint32]int{}, 0
	wanted := func(pid uint32) bool { return s.decision(pid).Selected }
	e := &examiner{
		runtimes: runtimes.NewExaminer(procfs.FS{}),
		set: func(pid uint32, _ capture.Runtime) error {
			set[pid]++
			return nil
		},
		watch: func(capture.Function, string, uint64) error {
			watched++
			return nil
		},
		wanted: wanted,
	}
	e.examine(uint32(other.pid))
	require.Empty(t, set)
	require.Zero(t, watched)
	e.examine(uint32(chosen.pid))
	require.Equal(t, map[uint32]int{uint32(chosen.pid): 1}, set)
	require.Positive(t, watched, "Python's functions")
}

// Without a cluster, rules with k8s match nothing, and so exclude nothing.
func TestNoCluster(t *testing.T) {
	rule := config.Rule{K8s: &config.PodRule{Namespace: "*"}}
	s, _ := fakes(t, config.Discovery{Include: []config.Rule{rule}})
	s.connect(nil)
	require.False(t, s.decision(1).Selected)
	s, _ = fakes(t, config.Discovery{Exclude: []config.Rule{rule}})
	s.connect(nil)
	require.True(t, s.decision(1).Selected)
}

// A pod's container is found by id or, while that is not known, by the pod's uid.
func TestPlace(t *testing.T) {
	view := &fakeView{}
	view.set("u", &cluster.Pod{UID: "u", Namespace: "shop", Containers: map[string]string{"c1": "app"}})
	s, _ := fakes(t, config.Discovery{Include: []config.Rule{{ContainerName: "x"}}})
	s.container = func(_ uint32, id string) string { return "disk-" + id }
	s.connect(view)
	require.Equal(t, "app", s.place(7, "c1", "u").Container)
	require.Equal(t, "shop", s.place(7, "c1", "").Pod.Namespace)
	p := s.place(7, "c2", "u")
	require.Equal(t, "shop", p.Pod.Namespace)
	require.Equal(t, "disk-c2", p.Container)
	require.Nil(t, s.place(7, "c3", "v").Pod)
	require.Equal(t, discovery.Place{}, s.place(7, "", ""))
}

// The end of a process whose record was lost is found out.
func TestLostExit(t *testing.T) {
	s, _ := fakes(t, config.Discovery{Include: []config.Rule{{Exe: "*"}}})
	const gone = 1 << 22
	s.record(gone, verdict{})
	s.record(uint32(os.Getpid()), verdict{})
	s.sweep()
	require.False(t, s.verdicts[gone].exited.IsZero())
	require.True(t, s.verdicts[uint32(os.Getpid())].exited.IsZero())
}

func TestRecentIsBounded(t *testing.T) {
	var r recent
	now := time.Now()
	for pid := range uint32(2 * maxRecent) {
		r.add(pid, now)
	}
	require.Len(t, r.processes, maxRecent)
	require.Empty(t, r.due(now))
	require.Len(t, r.due(now.Add(minLook)), maxLooks)
	r.remove(5)
	require.NotContains(t, r.processes, uint32(5))
	for range 2 * maxRecent / maxLooks {
		r.due(now.Add(settledAge + time.Second))
	}
	require.Empty(t, r.processes)
}

// What judging a process costs that has executed something, where rules ask for pods.
func BenchmarkExecuted(b *testing.B) {
	for name, rule := range map[string]config.Rule{
		"exe":      {Exe: "*/nothing"},
		"pods":     {K8s: &config.PodRule{Namespace: "x"}},
		"language": {Language: []string{"java"}},
		"ports":    {OpenPorts: "1"},
	} {
		b.Run(name, func(b *testing.B) {
			s, err := newSelection(config.Discovery{Include: []config.Rule{rule}}, newInspectors(), zap.NewNop())
			require.NoError(b, err)
			s.executions = func(uint32) uint32 { return 0 }
			s.judge = func(uint32, uint32, capture.Verdict) (capture.Verdict, error) { return capture.VerdictSelected, nil }
			s.invalidate = func(uint32) {}
			s.connect(&fakeView{})
			c := exec.Command("sleep", "60")
			require.NoError(b, c.Start())
			b.Cleanup(func() {
				_ = c.Process.Kill()
				_ = c.Wait()
			})
			b.ReportAllocs()
			for b.Loop() {
				s.executed(uint32(c.Process.Pid), "", monotonic())
			}
		})
	}
}
