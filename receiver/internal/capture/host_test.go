// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/preflight"
)

// Without any right, starting ends in one sentence that says what to grant.
func TestLoadUnprivileged(t *testing.T) {
	if os.Getenv("CAPTURE_TEST_LOAD") != "" {
		_, err := Load(Options{Hooks: BackendAuto, RingBytes: 1 << 20, RingCount: 1, MaxConnections: 16})
		os.Stderr.WriteString("ERROR " + err.Error() + "\n")
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give it up")
	}
	exe := filepath.Join(t.TempDir(), "capture.test")
	copyFile(t, os.Args[0], exe)
	require.NoError(t, os.Chmod(filepath.Dir(exe), 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(filepath.Dir(exe)), 0o755))
	cmd := exec.Command(exe, "-test.run=^TestLoadUnprivileged$")
	cmd.Env = append(os.Environ(), "CAPTURE_TEST_LOAD=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	i := strings.Index(string(out), "ERROR ")
	require.GreaterOrEqual(t, i, 0, "%s", out)
	message, _, _ := strings.Cut(string(out[i:]), "\n")
	require.Contains(t, message, "missing CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE")
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, b, 0o755))
}

func TestExplainLoad(t *testing.T) {
	var u *preflight.Unsupported
	require.ErrorAs(t, explainLoad(unix.EPERM), &u)
	require.Contains(t, u.Error(), "lockdown")
	require.ErrorAs(t, explainLoad(unix.ENOMEM), &u)
	require.Contains(t, u.Error(), "limits.ring_buffer_size")
	require.False(t, errors.As(explainLoad(unix.EINVAL), &u))
}

func TestChooseBackend(t *testing.T) {
	b, err := BackendAuto.choose()
	require.NoError(t, err)
	require.Contains(t, []Backend{BackendSock, BackendSysExit}, b)
	_, err = Backend("kprobe").choose()
	require.ErrorContains(t, err, "hooks: unknown backend")
}

// Both architectures' objects are the same program with the same layouts.
func TestObjectsAgree(t *testing.T) {
	load := func(name string) map[string]int {
		f, err := os.Open(name)
		require.NoError(t, err)
		defer f.Close()
		spec, err := btf.LoadSpecFromReader(f)
		require.NoError(t, err)
		sizes := map[string]int{}
		for _, s := range []string{"segment_record", "open_record", "process_record", "policy", "conn", "scratch"} {
			var typ *btf.Struct
			require.NoError(t, spec.TypeByName(s, &typ))
			sizes[s] = int(typ.Size)
		}
		return sizes
	}
	if _, err := os.Stat("capture_x86_bpfel.o"); err != nil {
		t.Skip("the sources are not here: the test runs on its own, on " + runtime.GOARCH)
	}
	amd64 := load("capture_x86_bpfel.o")
	require.Equal(t, amd64, load("capture_arm64_bpfel.o"))
	require.Equal(t, segmentSize, amd64["segment_record"])
	require.Equal(t, openSize, amd64["open_record"])
	require.Equal(t, processSize, amd64["process_record"])
	require.Equal(t, policySize, amd64["policy"])
}
