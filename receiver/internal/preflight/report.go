// SPDX-License-Identifier: Apache-2.0

//go:build linux

package preflight

import (
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Features, as in receiver_ebpf_features.
const (
	FeatureSockHooks      = "sock_hooks"
	FeatureIOUring        = "io_uring"
	FeatureHostProcesses  = "host_processes"
	FeatureProcessDetails = "process_details"
	FeatureRuntimes       = "runtime_functions"
	FeatureTCPOption      = "tcp_option"
	FeatureHTTPHeader     = "http_header"
	FeatureNamespaces     = "foreign_listeners"
)

// Wants is what the configuration asks for.
type Wants struct {
	// Hooks as configured.
	Hooks                 string
	TCPOption, HTTPHeader bool
}

// Feature is something that works on this host or does not.
type Feature struct {
	Name      string
	Available bool
	// Lost is what is missing without it, Why the reason, Mend what to do: parts of a
	// sentence, empty if it is available.
	Lost, Why, Mend string
	// Wanted: by the configuration or its defaults.
	Wanted bool
	// Degraded: what is reported suffers, and whoever runs the Collector can mend it.
	Degraded bool
}

// Report is the outcome.
type Report struct {
	Host     *Host
	Kernel   Kernel
	Features []Feature
	// Hooks is the backend chosen, empty if it did not come to that; Better says why it is
	// not the better one.
	Hooks, Better string
}

// NewReport judges what was found. hooks is the capture backend in use.
func NewReport(h *Host, k Kernel, w Wants, hooks string) *Report {
	r := &Report{Host: h, Kernel: k, Hooks: hooks}
	r.sock(w)
	r.add(Feature{
		Name: FeatureIOUring, Available: k.IOUring, Wanted: true,
		Lost: "what applications move with io_uring is not seen", Why: "this kernel does not tell which request has completed", Mend: "Linux 5.17 or newer",
	})
	r.add(Feature{
		Name: FeatureHostProcesses, Available: h.PIDNamespace == 0, Wanted: true,
		Lost: "only processes of the Collector's own pid namespace are watched",
		Why:  "it is not the host's", Mend: "right for a sidecar; else Kubernetes: hostPID: true; Docker, Podman: --pid=host",
	})
	r.details()
	r.runtimes()
	r.injection(w)
	return r
}

func (r *Report) add(f Feature) {
	if f.Available {
		f.Lost, f.Why, f.Mend, f.Degraded = "", "", "", false
	}
	r.Features = append(r.Features, f)
}

func (r *Report) sock(w Wants) {
	f := Feature{
		Name: FeatureSockHooks, Available: r.Kernel.SockHooks, Wanted: w.Hooks != "sys_exit",
		Lost: "the exit of all system calls is hooked instead of sockets, which costs a little more",
		Why:  "this kernel lacks the tracepoints sock_send_length and sock_recv_length", Mend: "Linux 6.3 or newer",
	}
	r.add(f)
	switch {
	case r.Hooks != "sys_exit":
	case f.Available:
		r.Better = "hooks: sys_exit is configured"
	default:
		r.Better = f.Why + " (" + f.Mend + ")"
	}
}

// details are what only the owner of a process, and who may look at everybody's, can read.
func (r *Report) details() {
	h := r.Host
	f := Feature{
		Name: FeatureProcessDetails, Wanted: true, Degraded: true,
		Available: !h.refused() && h.Effective.can(capDACReadSearch) && !h.ProcSubset,
		Lost:      "the environment (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES), the listening ports and some executables of other users' processes cannot be read",
	}
	switch {
	case h.refused():
		f.Lost = "nothing can be found out about most other processes but their names, command lines and containers"
		f.Why = fmt.Sprintf("%d of %d processes may not be looked at in spite of CAP_SYS_PTRACE", h.Refused, h.Processes)
		if h.Confinement != "" {
			f.Why += ", by " + h.Confinement + ", it seems"
		}
		f.Mend = "Kubernetes: securityContext: {appArmorProfile: {type: Unconfined}}, or seLinuxOptions: {type: spc_t}; Docker: --security-opt apparmor=unconfined"
	case h.ProcSubset:
		f.Lost = "ports and addresses of other processes cannot be read"
		f.Why, f.Mend = "/proc is mounted with subset=pid", "systemd: ProcSubset=all"
	default:
		f.Why, f.Mend = "missing CAP_DAC_READ_SEARCH", h.grant(capDACReadSearch)
	}
	r.add(f)
}

// refused reports whether a security module keeps other processes from us. Few are always
// out of reach somewhere (sandboxes).
func (h *Host) refused() bool { return h.Refused*2 > h.Processes }

func (r *Report) runtimes() {
	f := Feature{
		Name: FeatureRuntimes, Available: r.Kernel.Uprobes, Wanted: true,
		Lost: "some requests that asyncio, uvloop, Node and tokio programs make while they serve others have a link instead of a parent",
		Why:  "this kernel lets nobody watch functions of programs without CAP_SYS_ADMIN",
		Mend: "Linux 6.6 or newer, where CAP_BPF and CAP_PERFMON suffice; or grant SYS_ADMIN",
	}
	if r.Host.Effective.has(unix.CAP_SYS_ADMIN) {
		f.Why, f.Mend = "this kernel cannot watch functions of programs", "a kernel built with CONFIG_UPROBE_EVENTS=y"
	}
	r.add(f)
}

func (r *Report) injection(w Wants) {
	err := r.Host.CheckInjection(r.Kernel)
	for _, f := range []Feature{{Name: FeatureTCPOption, Wanted: w.TCPOption}, {Name: FeatureHTTPHeader, Wanted: w.HTTPHeader}} {
		f.Available = err == nil
		if err != nil {
			f.Lost = "context_propagation.inject: [" + f.Name + "] cannot work"
			f.Why, f.Mend, _ = strings.Cut(strings.TrimPrefix(err.Error(), "context_propagation.inject: "), ": ")
		}
		r.add(f)
	}
	r.add(Feature{
		Name: FeatureNamespaces, Wanted: w.TCPOption, Available: err == nil && r.Host.Effective.has(unix.CAP_SYS_ADMIN),
		Lost: "servers in other network namespaces that are older than the Collector get no context in TCP options, until they listen anew",
		Why:  "entering network namespaces takes CAP_SYS_ADMIN", Mend: "start the Collector before them, or grant SYS_ADMIN",
	})
}

// Degraded is what whoever runs the Collector should mend, nil if there is nothing.
func (r *Report) Degraded() error {
	var all []string
	for _, f := range r.Features {
		if f.Degraded && f.Wanted {
			all = append(all, f.sentence())
		}
	}
	if all == nil {
		return nil
	}
	return errors.New(strings.Join(all, "; "))
}

func (f *Feature) sentence() string { return f.Lost + ": " + f.Why + " (" + f.Mend + ")" }

// Log writes one entry with everything, and one for each thing that is missing.
func (r *Report) Log(logger *zap.Logger) {
	h := r.Host
	there, missing := h.Effective.split()
	on, off := r.names()
	fields := []zap.Field{
		zap.String("kernel", h.Release),
		zap.String("btf", orMissing(h.BTF)),
		zap.String("lockdown", r.lockdown()),
		zap.String("tracefs", h.tracefs()),
		zap.String("cgroup", h.Cgroup),
		zap.String("cgroup_root", orMissing(h.CgroupRoot)),
		zap.Int("uid", h.UID),
		zap.Strings("capabilities", there),
		zap.Strings("capabilities_missing", missing),
		zap.Bool("no_new_privs", h.NoNewPrivs),
		zap.Bool("user_namespace", h.UserNamespace),
		zap.String("pid_namespace", h.pidNamespace()),
		zap.String("seccomp", h.Seccomp),
		zap.String("hidepid", h.HidePID),
		zap.String("memlock", h.Memlock),
		zap.String("unprivileged_bpf_disabled", h.UnprivilegedBPF),
		zap.String("perf_event_paranoid", h.PerfParanoid),
	}
	if h.Confinement != "" {
		fields = append(fields, zap.String("confinement", h.Confinement))
	}
	if r.Hooks != "" {
		fields = append(fields, zap.String("hooks", r.Hooks))
		if r.Better != "" {
			fields = append(fields, zap.String("why_not_better", r.Better))
		}
		fields = append(fields,
			zap.Strings("kernel_features", r.kernelFeatures()),
			zap.Strings("features", on), zap.Strings("features_missing", off))
	}
	logger.Info("eBPF preflight", fields...)
	if r.Hooks == "" {
		return // the error says why
	}
	for _, f := range r.Features {
		switch {
		case f.Available || !f.Wanted:
		case f.Degraded:
			logger.Warn(f.Lost, zap.String("feature", f.Name), zap.String("why", f.Why), zap.String("mend", f.Mend))
		default:
			logger.Info(f.Lost, zap.String("feature", f.Name), zap.String("why", f.Why), zap.String("mend", f.Mend))
		}
	}
}

// Attributes are those of the component's status.
func (r *Report) Attributes() pcommon.Map {
	m := pcommon.NewMap()
	_, missing := r.names()
	m.PutStr("kernel", r.Host.Release)
	m.PutStr("lockdown", r.lockdown())
	m.PutStr("cgroup", r.Host.Cgroup)
	m.PutStr("hooks", r.Hooks)
	there, _ := r.Host.Effective.split()
	putAll(m, "capabilities", there)
	putAll(m, "features_missing", missing)
	return m
}

func putAll(m pcommon.Map, key string, values []string) {
	s := m.PutEmptySlice(key)
	for _, v := range values {
		s.AppendEmpty().SetStr(v)
	}
}

func (r *Report) names() (on, off []string) {
	for _, f := range r.Features {
		if f.Available {
			on = append(on, f.Name)
		} else {
			off = append(off, f.Name)
		}
	}
	return on, off
}

func (r *Report) kernelFeatures() (names []string) {
	k := &r.Kernel
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"sock_tracepoints", k.SockHooks}, {"task_storage", k.TaskStorage}, {"bpf_loop", k.Loop}, {"iterators", k.Iterators},
		{"io_uring", k.IOUring}, {"uprobe_multi", k.UprobeMulti},
	} {
		if f.has {
			names = append(names, f.name)
		}
	}
	return names
}

// lockdown is found out by what it forbids where securityfs is not mounted.
func (r *Report) lockdown() string {
	switch {
	case r.Host.Lockdown != lockdownUnknown || r.Hooks == "":
		return r.Host.Lockdown
	case r.Kernel.ReadKernel:
		return "none or integrity"
	default:
		return lockdownConfidentiality
	}
}

func (h *Host) tracefs() string {
	if h.Tracefs == "" {
		return "not mounted, not needed"
	}
	return h.Tracefs
}

func (h *Host) pidNamespace() string {
	if h.PIDNamespace != 0 {
		return "own"
	}
	return "host"
}

func orMissing(s string) string {
	if s == "" {
		return "missing"
	}
	return s
}
