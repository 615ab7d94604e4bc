// SPDX-License-Identifier: Apache-2.0

//go:build linux

package preflight

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func only(caps ...int) (set Capabilities) {
	for _, c := range caps {
		set |= 1 << c
	}
	return set
}

// fine is a host that lacks nothing.
func fine() *Host {
	return &Host{
		Release: "6.12.0", BTF: "vmlinux", Lockdown: "none", Effective: ^Capabilities(0), Bounding: ^Capabilities(0),
		CgroupRoot: "/sys/fs/cgroup", btfPath: "/sys/kernel/btf/vmlinux", Processes: 100,
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Host)
		want   string
	}{
		"fine":              {func(*Host) {}, ""},
		"oldest":            {func(h *Host) { h.Release = "5.14.0-427.el9.x86_64" }, ""},
		"too old":           {func(h *Host) { h.Release = "5.10.0-32-cloud-amd64" }, "kernel 5.10.0-32-cloud-amd64 is too old: the ebpf receiver needs Linux 5.14 or newer"},
		"ancient":           {func(h *Host) { h.Release = "4.19.0" }, "kernel 4.19.0 is too old: the ebpf receiver needs Linux 5.14 or newer"},
		"unreadable number": {func(h *Host) { h.Release = "rolling" }, ""},
		"no BTF":            {func(h *Host) { h.BTF = "" }, "kernel 6.12.0 has no BTF type information at /sys/kernel/btf/vmlinux: use a kernel built with CONFIG_DEBUG_INFO_BTF=y"},
		"nobody":            {func(h *Host) { h.Effective, h.UID = 0, 65534 }, "missing CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE: run as root, or grant what is missing (Kubernetes: securityContext: {capabilities: {add: [BPF, PERFMON, SYS_PTRACE]}}; systemd: AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_SYS_PTRACE; a file: setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep otelcol-ebpf; Kubernetes gives what it adds to root only: runAsUser: 0)"},
		"minimal":           {func(h *Host) { h.Effective = only(unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYS_PTRACE) }, ""},
		"admin":             {func(h *Host) { h.Effective = only(unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE) }, ""},
		"one missing":       {func(h *Host) { h.Effective = only(unix.CAP_BPF, unix.CAP_SYS_PTRACE) }, "missing CAP_PERFMON: run"},
		"no ptrace":         {func(h *Host) { h.Effective = only(unix.CAP_BPF, unix.CAP_PERFMON) }, "missing CAP_SYS_PTRACE: run"},
		"bounded":           {func(h *Host) { h.Effective, h.Bounding = 0, 0 }, "who started this process has taken them out of its bounding set"},
		"no_new_privs":      {func(h *Host) { h.Effective, h.UID, h.NoNewPrivs = 0, 1, true }, "those of files do not count here, because of no_new_privs"},
		"user namespace":    {func(h *Host) { h.UserNamespace = true }, "the Collector runs in a user namespace"},
		"pid namespace":     {func(h *Host) { h.PIDNamespace = 1 }, ""},
		"another's /proc":   {func(h *Host) { h.ForeignProc = true }, "/proc is not that of the Collector's pid namespace"},
		"lockdown":          {func(h *Host) { h.Lockdown = "confidentiality" }, "kernel lockdown is in confidentiality mode"},
		"integrity":         {func(h *Host) { h.Lockdown = "integrity" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := fine()
			c.change(h)
			err := h.Check()
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n", "one sentence")
			var u *Unsupported
			require.ErrorAs(t, err, &u)
		})
	}
}

// What is read from /proc and /sys.
func TestInspect(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	write("sys/kernel/btf/vmlinux", "")
	write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
	write("proc/self/status", "Name:\tcollector\nCapInh:\t0000000000000000\nCapEff:\t000000c000080000\nCapBnd:\t000000c000081004\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n")
	write("proc/self/attr/current", "cri-containerd.apparmor.d (enforce)\n")
	write("proc/self/mountinfo", "22 1 0:21 / /proc rw,nosuid - proc proc rw,hidepid=invisible,subset=pid\n"+
		"23 1 0:22 / /sys/kernel/tracing rw - tracefs tracefs rw\n24 1 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
	write("proc/self/ns/user", "")
	write("proc/self/ns/pid", "")
	write("proc/sys/kernel/unprivileged_bpf_disabled", "2\n")
	write("proc/1/stat", "")
	h := inspect(filepath.Join(root, "proc"), filepath.Join(root, "sys"))
	require.NotEmpty(t, h.Release)
	require.NotZero(t, h.PIDNamespace)
	require.Equal(t, &Host{
		Release: h.Release, BTF: "vmlinux", Lockdown: "integrity", UID: os.Geteuid(),
		Effective:  only(unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYS_PTRACE),
		Bounding:   only(unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYS_PTRACE, unix.CAP_NET_ADMIN, unix.CAP_DAC_READ_SEARCH),
		NoNewPrivs: true, Seccomp: "filter", Confinement: "cri-containerd.apparmor.d (enforce)",
		UserNamespace: true, PIDNamespace: h.PIDNamespace,
		Tracefs: "/sys/kernel/tracing", Cgroup: "v2", CgroupRoot: "/sys/fs/cgroup", HidePID: "invisible", ProcSubset: true,
		Processes: 1, Memlock: h.Memlock, UnprivilegedBPF: "2", PerfParanoid: "unknown", btfPath: h.btfPath,
	}, h)

	// Nothing of it is there: nothing is forbidden, as far as one can see.
	h = inspect(filepath.Join(root, "none"), filepath.Join(root, "none"))
	require.ErrorContains(t, h.Check(), "no BTF")
	h.BTF = "vmlinux"
	require.NoError(t, h.Check())
	require.Equal(t, "unknown", h.Cgroup)
}

// This machine can be read, too.
func TestInspectHere(t *testing.T) {
	h := Inspect()
	require.NotZero(t, h.Processes)
	require.NotEqual(t, "unknown", h.Cgroup)
	require.NotEqual(t, "unknown", h.Seccomp)
	require.NotEqual(t, "unknown", h.PerfParanoid)
}
