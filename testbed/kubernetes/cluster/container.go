// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

// Driver is how a container runtime names cgroups.
type Driver string

const (
	// Systemd is containerd with the systemd driver, on cgroup v2.
	Systemd Driver = "systemd"
	// Cgroupfs is containerd with the cgroupfs driver; on cgroup v1 where there is
	// one.
	Cgroupfs Driver = "cgroupfs"
)

// cgroups are the hierarchies that a driver uses here, and the path below each.
func cgroups(driver Driver, pod *corev1.Pod, id string) (roots []string, path string) {
	const mount = "/sys/fs/cgroup"
	unified := mount
	if _, err := os.Stat(mount + "/cgroup.procs"); err != nil {
		unified = mount + "/unified" // v1, or hybrid
	}
	if driver == Systemd {
		// A dash is a step down the tree for systemd, so that a uid has none.
		slice := "kubepods-burstable-pod" + strings.ReplaceAll(string(pod.UID), "-", "_") + ".slice"
		return []string{unified}, "kubepods.slice/kubepods-burstable.slice/" + slice + "/cri-containerd-" + id + ".scope"
	}
	roots = []string{unified}
	if unified != mount {
		roots = []string{mount + "/systemd", mount + "/pids"}
	}
	return roots, fmt.Sprintf("kubepods/burstable/pod%s/%s", pod.UID, id)
}

// Run runs a program as a container of a pod: a process of this machine in the cgroup
// that kubelet and containerd would give to it, from its first instruction on. It is
// killed when the test ends.
func (c *Cluster) Run(driver Driver, pod *corev1.Pod, id string, env []string, program string, args ...string) *exec.Cmd {
	c.t.Helper()
	roots, path := cgroups(driver, pod, id)
	var enter strings.Builder
	for _, root := range roots {
		group := filepath.Join(root, path)
		require.NoError(c.t, os.MkdirAll(group, 0o755))
		c.t.Cleanup(func() {
			// Parents may be somebody else's too; those are not empty.
			for ; group != root; group = filepath.Dir(group) {
				if err := removeGroup(group); err != nil {
					return
				}
			}
		})
		fmt.Fprintf(&enter, "echo $$ >%s/cgroup.procs && ", group)
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", enter.String() + `exec "$0" "$@"`, program}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, done := make(chan error), make(chan struct{})
	go func() { // Pdeathsig is sent when the thread that forked ends: keep it
		runtime.LockOSThread()
		defer runtime.UnlockOSThread() // or it ends, and others that were forked on it, too
		defer close(done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	require.NoError(c.t, <-started)
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
	return cmd
}

// removeGroup waits a moment for the kernel to notice that a cgroup is empty.
func removeGroup(path string) (err error) {
	for range 100 {
		if err = syscall.Rmdir(path); err != syscall.EBUSY {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}
