// SPDX-License-Identifier: Apache-2.0

package groundtruth

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Requirements skips a test where the machine cannot run it, but never in CI, and takes
// the lock of Exclusive. Tools are programs in PATH, or paths of files.
func Requirements(t testing.TB, tools ...string) {
	t.Helper()
	missing := func(what string) {
		t.Helper()
		if os.Getenv("CI") == "true" {
			t.Fatalf("needs %s", what)
		}
		t.Skipf("needs %s", what)
	}
	if os.Geteuid() != 0 {
		missing("root")
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		missing("a kernel with BTF (CONFIG_DEBUG_INFO_BTF)")
	}
	if _, err := Binary(); err != nil {
		missing(err.Error())
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if _, err := os.Stat(tool); err != nil {
			missing(tool + " (testbed/install.sh)")
		}
	}
	Exclusive(t)
}

// Exclusive keeps tests that load the machine, or listen on fixed ports, from running
// beside each other when several packages are tested at once.
func Exclusive(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(os.TempDir(), "otelcol-ebpf-testbed.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatalf("lock %s: %v", f.Name(), err)
	}
}
