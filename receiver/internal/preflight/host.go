// SPDX-License-Identifier: Apache-2.0

//go:build linux

package preflight

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
)

// The oldest kernel that is let in. On 5.10 the programs load and pass on one
// CPU, but with two the machine hung (testbed/kernels; KNOWN_ISSUES.md).
const minMajor, minMinor = 5, 14

// Inode numbers of the first namespaces; include/linux/proc_ns.h.
const (
	firstUserNamespace = 0xEFFFFFFD
	firstPIDNamespace  = 0xEFFFFFFC
)

// Lockdown modes; kernel_lockdown(7).
const (
	lockdownUnknown         = "unknown"
	lockdownConfidentiality = "confidentiality"
)

// Host is where the receiver runs. What cannot be read is "unknown" or, of numbers, as it
// is on hosts that forbid nothing.
type Host struct {
	Release string // of the kernel
	BTF     string // what is there: "vmlinux", or empty
	// Lockdown is none, integrity, confidentiality or unknown (securityfs is not mounted).
	Lockdown string

	UID                 int
	Effective, Bounding Capabilities
	NoNewPrivs          bool
	Seccomp             string // off, strict, filter
	// Confinement is the label that a security module (AppArmor, SELinux) gives us, if it
	// means anything.
	Confinement string
	// UserNamespace: in one that is not the host's.
	UserNamespace bool
	// PIDNamespace is the inode of ours, 0 if it is the host's.
	PIDNamespace uint32
	// ForeignProc: /proc is that of another pid namespace than ours.
	ForeignProc bool

	Tracefs string // where it is mounted, or empty
	Cgroup  string // v1, v2, hybrid, none
	// CgroupRoot is where the root of cgroup2 is mounted; if nowhere, the error says why.
	CgroupRoot    string
	CgroupRootErr error
	HidePID       string // an option of /proc: off, or whose processes are seen
	ProcSubset    bool   // /proc shows nothing but processes
	// Refused of Processes that there are may not be looked at, which CAP_SYS_PTRACE allows
	// unless a security module has its own opinion.
	Refused, Processes int

	Memlock         string // RLIMIT_MEMLOCK, bytes or unlimited
	UnprivilegedBPF string // kernel.unprivileged_bpf_disabled
	PerfParanoid    string // kernel.perf_event_paranoid

	btfPath string
}

// Inspect looks at the host. It takes some file reads and changes nothing.
func Inspect() *Host { return inspect("/proc", "/sys") }

func inspect(proc, sys string) *Host {
	h := &Host{UID: os.Geteuid(), Lockdown: lockdownUnknown, btfPath: sys + "/kernel/btf/vmlinux"}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		h.Release = unix.ByteSliceToString(uts.Release[:])
	}
	if _, err := os.Stat(h.btfPath); err == nil {
		h.BTF = "vmlinux"
	}
	// none [integrity] confidentiality
	if _, after, ok := strings.Cut(text(sys+"/kernel/security/lockdown"), "["); ok {
		h.Lockdown, _, _ = strings.Cut(after, "]")
	}
	h.status(text(proc + "/self/status"))
	if label := strings.TrimRight(text(proc+"/self/attr/current"), "\x00"); label != "unconfined" {
		h.Confinement = label
	}
	h.UserNamespace = apart(proc+"/self/ns/user", firstUserNamespace) != 0
	h.PIDNamespace = apart(proc+"/self/ns/pid", firstPIDNamespace)
	if self, err := os.Readlink(proc + "/self"); err == nil {
		h.ForeignProc = self != strconv.Itoa(os.Getpid())
	}
	h.mounts(proc + "/self/mountinfo")
	for _, pid := range (procfs.FS{Root: proc}).PIDs() {
		h.Processes++
		if _, err := os.Readlink(procfs.FS{Root: proc}.Path(pid, "root")); errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			h.Refused++
		}
	}
	h.Memlock = "unknown"
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) == nil {
		h.Memlock = strconv.FormatUint(limit.Cur, 10)
		if limit.Cur == unix.RLIM_INFINITY {
			h.Memlock = "unlimited"
		}
	}
	h.UnprivilegedBPF = orUnknown(text(proc + "/sys/kernel/unprivileged_bpf_disabled"))
	h.PerfParanoid = orUnknown(text(proc + "/sys/kernel/perf_event_paranoid"))
	return h
}

// status reads what proc_pid_status(5) says about the rights of a process.
func (h *Host) status(status string) {
	h.Effective, h.Bounding, h.Seccomp = ^Capabilities(0), ^Capabilities(0), "unknown"
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch name {
		case "CapEff", "CapBnd":
			set, err := strconv.ParseUint(value, 16, 64)
			if err != nil {
				continue
			}
			if name == "CapEff" {
				h.Effective = Capabilities(set)
			} else {
				h.Bounding = Capabilities(set)
			}
		case "NoNewPrivs":
			h.NoNewPrivs = value == "1"
		case "Seccomp":
			h.Seccomp = map[string]string{"0": "off", "1": "strict", "2": "filter"}[value]
		}
	}
}

func (h *Host) mounts(mountinfo string) {
	f, err := os.Open(mountinfo)
	if err != nil {
		h.Cgroup, h.HidePID, h.CgroupRootErr = "unknown", "unknown", err
		return
	}
	defer f.Close()
	m := readMounts(f)
	h.Tracefs, h.Cgroup, h.HidePID, h.ProcSubset = m.tracefs, m.cgroups(), m.hidden(), m.subset()
	h.CgroupRoot, h.CgroupRootErr = m.cgroupRoot()
}

// apart is the inode of a namespace that is not the first of its kind, else 0, also if there
// is no telling.
func apart(link string, first uint64) uint32 {
	var st unix.Stat_t
	if unix.Stat(link, &st) != nil || st.Ino == first {
		return 0
	}
	return uint32(st.Ino)
}

func text(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// Check reports the first thing without which nothing can work, as *Unsupported.
func (h *Host) Check() error {
	unsupported := func(format string, a ...any) error { return &Unsupported{Message: fmt.Sprintf(format, a...)} }
	var major, minor int
	if n, _ := fmt.Sscanf(h.Release, "%d.%d", &major, &minor); n == 2 && (major < minMajor || major == minMajor && minor < minMinor) {
		return unsupported("kernel %s is too old: the ebpf receiver needs Linux %d.%d or newer", h.Release, minMajor, minMinor)
	}
	if h.BTF == "" {
		return unsupported("kernel %s has no BTF type information at %s: use a kernel built with CONFIG_DEBUG_INFO_BTF=y, and mount /sys", h.Release, h.btfPath)
	}
	if h.UserNamespace {
		return unsupported("the Collector runs in a user namespace, where capabilities give no right to load BPF programs: run it outside of one (Kubernetes: without hostUsers: false; Docker: --userns=host; Podman: as root)")
	}
	if h.ForeignProc {
		return unsupported("/proc is not that of the Collector's pid namespace, so the processes that the kernel reports are not those it could look at: share the host's (Kubernetes: hostPID: true; Docker, Podman: --pid=host), or mount /proc anew")
	}
	var missing []capability
	var names []string
	for _, k := range []capability{capBPF, capPerfmon, capSysPtrace} {
		if !h.Effective.can(k) {
			missing, names = append(missing, k), append(names, "CAP_"+k.name)
		}
	}
	if missing != nil {
		return unsupported("missing %s: run as root, or grant what is missing (%s)", strings.Join(names, ", "), h.grant(missing...))
	}
	if h.Lockdown == lockdownConfidentiality {
		return unsupported("kernel lockdown is in confidentiality mode, in which BPF programs may not read the kernel's memory: boot with lockdown=integrity")
	}
	return nil
}

// CheckInjection reports the first thing without which context_propagation.inject cannot
// work.
func (h *Host) CheckInjection(k Kernel) error {
	if !h.Effective.can(capNetAdmin) {
		return &Unsupported{Message: "context_propagation.inject: missing CAP_NET_ADMIN, which programs that write into requests need: grant it (" + h.grant(capNetAdmin) + ")"}
	}
	if !k.Loop {
		return &Unsupported{Message: "context_propagation.inject needs Linux 5.17 or newer (bpf_loop): remove it from the configuration"}
	}
	return h.CgroupRootErr
}
