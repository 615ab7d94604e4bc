// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/capture"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
)

func TestSelection(t *testing.T) {
	s, err := newSelection(config.Discovery{Include: []config.Rule{{Exe: "*/sleep"}}}, zap.NewNop())
	require.NoError(t, err)
	told := map[uint32][]capture.Verdict{}
	s.executions = func(uint32) uint32 { return 0 }
	s.judge = func(pid, _ uint32, v capture.Verdict) error {
		told[pid] = append(told[pid], v)
		return nil
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
	s.executed(wanted, "/usr/bin/sleep")
	require.Len(t, told[wanted], 2, "the kernel watches what was executed until it is told")

	// Gone before it could be looked at: what it executed decides.
	const gone = 1 << 22
	s.executed(gone, "/usr/bin/sleep")
	require.True(t, s.allows(gone, true, func() {}))
	s.forget(gone)
	require.True(t, s.allows(gone, true, func() {}), "its last segments may still come")

	// Not judged yet, and the record of its start is in another reader's ring.
	late := start("tail", "-f", "/dev/null")
	require.False(t, s.allows(late, false, func() {}))
	require.Equal(t, 1, hurried)

	// A verdict that changes names the process anew.
	s.record(other, true, 0)
	s.examine(other, "", false)
	require.Positive(t, invalidated)
}

func TestSelectionOfEverything(t *testing.T) {
	s, err := newSelection(config.Discovery{}, zap.NewNop())
	require.NoError(t, err)
	s.executed(1, "")
	s.scan()
	require.True(t, s.allows(1, true, func() {}))
	require.Empty(t, s.verdicts)
}
