// SPDX-License-Identifier: Apache-2.0

//go:build linux

package preflight

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Capabilities is a set of them, a bit each, as /proc/PID/status has it.
type Capabilities uint64

// capability is one that the receiver has a use for. The kernel's headers name them
// CAP_BPF, Kubernetes and Docker BPF.
type capability struct {
	bit  int
	name string
}

var (
	capBPF           = capability{unix.CAP_BPF, "BPF"}
	capPerfmon       = capability{unix.CAP_PERFMON, "PERFMON"}
	capSysPtrace     = capability{unix.CAP_SYS_PTRACE, "SYS_PTRACE"}
	capDACReadSearch = capability{unix.CAP_DAC_READ_SEARCH, "DAC_READ_SEARCH"}
	capNetAdmin      = capability{unix.CAP_NET_ADMIN, "NET_ADMIN"}

	// useful are reported, in this order.
	useful = []capability{capBPF, capPerfmon, capSysPtrace, capDACReadSearch, capNetAdmin}
)

func (c Capabilities) has(bit int) bool { return c&(1<<bit) != 0 }

// can reports whether a capability is there, or one that contains it: CAP_SYS_ADMIN does
// those that were split off it in Linux 5.8, and CAP_NET_ADMIN's part of BPF;
// CAP_DAC_OVERRIDE the reading of files.
func (c Capabilities) can(which capability) bool {
	switch which {
	case capBPF, capPerfmon, capNetAdmin:
		return c.has(which.bit) || c.has(unix.CAP_SYS_ADMIN)
	case capDACReadSearch:
		return c.has(which.bit) || c.has(unix.CAP_DAC_OVERRIDE)
	default:
		return c.has(which.bit)
	}
}

// split names the useful capabilities that are there and those that are not.
func (c Capabilities) split() (there, missing []string) {
	for _, k := range useful {
		if c.can(k) {
			there = append(there, "CAP_"+k.name)
		} else {
			missing = append(missing, "CAP_"+k.name)
		}
	}
	return there, missing
}

// grant says how to get capabilities, in the words of who starts processes.
func (h *Host) grant(missing ...capability) string {
	var short, long []string
	bounded := false
	for _, k := range missing {
		short, long = append(short, k.name), append(long, "CAP_"+k.name)
		bounded = bounded || !h.Bounding.has(k.bit)
	}
	file := strings.ToLower(strings.Join(long, ","))
	s := "Kubernetes: securityContext: {capabilities: {add: [" + strings.Join(short, ", ") + "]}}" +
		"; systemd: AmbientCapabilities=" + strings.Join(long, " ") +
		"; a file: setcap " + file + "+ep otelcol-ebpf"
	switch {
	case bounded:
		s += "; who started this process has taken them out of its bounding set, where they have to be, too"
	case h.UID != 0 && h.NoNewPrivs:
		s += "; those of files do not count here, because of no_new_privs, and Kubernetes gives what it adds to root only: runAsUser: 0"
	case h.UID != 0:
		s += "; Kubernetes gives what it adds to root only: runAsUser: 0"
	}
	return s
}
