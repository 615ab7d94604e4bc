// SPDX-License-Identifier: Apache-2.0

//go:build linux

package preflight

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

// Kernel is what the kernel's BPF can do that not every supported version can. Probe knows
// some of it, who reads the kernel's types the rest.
type Kernel struct {
	TaskStorage bool // of programs other than LSM's: Linux 5.12
	Loop        bool // bpf_loop: Linux 5.17
	UprobeMulti bool // uprobes as BPF links: Linux 6.6
	// Uprobes: functions of programs can be watched, through links or perf events.
	Uprobes bool
	// ReadKernel: programs may read the kernel's memory; no under lockdown=confidentiality.
	ReadKernel bool
	// SockHooks: the tracepoints sock_send_length and sock_recv_length, Linux 6.3.
	SockHooks bool
	// IOUring: completions tell their request, Linux 5.17.
	IOUring bool
	// Iterators of TCP sockets.
	Iterators bool
}

// Probe asks the kernel; it needs CAP_BPF and CAP_PERFMON. Answers are remembered.
func Probe() Kernel {
	has := func(err error) bool { return err == nil }
	k := Kernel{
		TaskStorage: has(features.HaveMapType(ebpf.TaskStorage)),
		Loop:        has(features.HaveProgramHelper(ebpf.Kprobe, asm.FnLoop)),
		UprobeMulti: has(features.HaveBPFLinkUprobeMulti()),
		ReadKernel:  has(features.HaveProgramHelper(ebpf.Kprobe, asm.FnProbeReadKernel)),
	}
	k.Uprobes = k.UprobeMulti || mayProbe()
	return k
}

// mayProbe asks whether functions can be watched through perf events, with an event that
// cannot be made, because it is about no file: that is looked at behind the rights
// (perf_uprobe_init in kernel/trace/trace_event_perf.c).
func mayProbe() bool {
	b, err := os.ReadFile("/sys/bus/event_source/devices/uprobe/type")
	if err != nil {
		return false
	}
	kind, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil {
		return false
	}
	attr := unix.PerfEventAttr{Type: uint32(kind)}
	attr.Size = uint32(unsafe.Sizeof(attr))
	fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err == nil {
		_ = unix.Close(fd)
	}
	return !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM)
}
