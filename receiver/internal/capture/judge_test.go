// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is said of a process that has exited is not kept: nobody would ever remove
// it.
func TestLateVerdicts(t *testing.T) {
	backends(t, func(t *testing.T, b Backend) {
		p, err := Load(Options{Hooks: b, RingBytes: 1 << 20, RingCount: 1, MaxConnections: 1024, Window: 4096, MaxPayload: 64 << 10})
		require.NoError(t, err)
		defer p.Close()
		require.NoError(t, p.Attach())
		defer p.Detach()
		known := func(pid uint32) (found []string) {
			for _, name := range []string{"processes", "runtimes"} {
				if value, err := p.coll.Maps[name].LookupBytes(pid); err == nil && value != nil {
					found = append(found, name)
				}
			}
			return found
		}
		tell := func(pid uint32) {
			t.Helper()
			_, err := p.Judge(pid, p.Executed(pid), VerdictSelected)
			require.NoError(t, err)
			require.NoError(t, p.SetRuntime(pid, Runtime{EventLoop: true}))
		}

		running := exec.Command("sleep", "60")
		require.NoError(t, running.Start())
		pid := uint32(running.Process.Pid)
		require.Eventually(t, func() bool { return len(known(pid)) == 1 }, 5*time.Second, time.Millisecond, "the kernel notes what is executed")
		tell(pid)
		require.Equal(t, []string{"processes", "runtimes"}, known(pid))
		require.NoError(t, running.Process.Kill())
		require.Eventually(t, func() bool { return len(known(pid)) == 0 }, 5*time.Second, time.Millisecond, "the kernel forgets what exits")
		tell(pid) // it is a zombie now
		require.Empty(t, known(pid))
		_ = running.Wait()
		tell(pid)
		require.Empty(t, known(pid))

		// One that the kernel has not noted, because it was there before.
		tell(1)
		require.Equal(t, []string{"processes", "runtimes"}, known(1))
	})
}
