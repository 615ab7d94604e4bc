// SPDX-License-Identifier: Apache-2.0

//go:build linux

package capture

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Backend is a way to see socket bytes move; see bpf/capture.bpf.c.
type Backend string

const (
	BackendAuto    Backend = "auto"
	BackendSock    Backend = "sock"     // tp_btf sock_send_length, sock_recv_length; Linux 6.3+
	BackendSysExit Backend = "sys_exit" // raw tracepoint sys_exit; Linux 5.14+
)

// Unsupported says what this host lacks, and how to get it: one sentence.
type Unsupported struct {
	Message string
	Err     error
}

func (u *Unsupported) Error() string {
	if u.Err == nil {
		return u.Message
	}
	return u.Message + " (" + firstLine(u.Err.Error()) + ")"
}

func (u *Unsupported) Unwrap() error { return u.Err }

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// The oldest kernel that is let in. On 5.10 the programs load and pass on one
// CPU, but with two the machine hung (testbed/kernels; KNOWN_ISSUES.md).
const minMajor, minMinor = 5, 14

// Where the kernel publishes its types; a variable for tests.
var kernelBTFPath = "/sys/kernel/btf/vmlinux"

// CheckHost reports the first thing without which nothing can work.
func CheckHost() error {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return fmt.Errorf("read kernel version: %w", err)
	}
	return checkHost(unix.ByteSliceToString(uts.Release[:]), kernelBTFPath, effectiveCapabilities())
}

func checkHost(release, btfPath string, caps uint64) error {
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n == 2 && (major < minMajor || major == minMajor && minor < minMinor) {
		return &Unsupported{Message: fmt.Sprintf("kernel %s is too old: the ebpf receiver needs Linux %d.%d or newer", release, minMajor, minMinor)}
	}
	if _, err := os.Stat(btfPath); err != nil {
		return &Unsupported{Message: fmt.Sprintf("kernel %s has no BTF type information at %s: use a kernel built with CONFIG_DEBUG_INFO_BTF=y", release, btfPath)}
	}
	if missing := missingCapabilities(caps); len(missing) > 0 {
		return &Unsupported{Message: fmt.Sprintf("missing %s: run as root, or grant the capabilities BPF, PERFMON and SYS_PTRACE (systemd: AmbientCapabilities, Kubernetes: securityContext.capabilities.add)", strings.Join(missing, ", "))}
	}
	return nil
}

// missingCapabilities names what loading (CAP_BPF, CAP_PERFMON) and reading
// other processes' identity (CAP_SYS_PTRACE) need and caps lacks.
// CAP_SYS_ADMIN contains the first two.
func missingCapabilities(caps uint64) (missing []string) {
	has := func(c int) bool { return caps&(1<<c) != 0 }
	if !has(unix.CAP_SYS_ADMIN) {
		if !has(unix.CAP_BPF) {
			missing = append(missing, "CAP_BPF")
		}
		if !has(unix.CAP_PERFMON) {
			missing = append(missing, "CAP_PERFMON")
		}
	}
	if !has(unix.CAP_SYS_PTRACE) {
		missing = append(missing, "CAP_SYS_PTRACE")
	}
	return missing
}

// effectiveCapabilities of this thread; all of them if they cannot be read.
func effectiveCapabilities() uint64 {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return ^uint64(0)
	}
	return uint64(data[1].Effective)<<32 | uint64(data[0].Effective)
}

// choose resolves BackendAuto and checks an explicit choice.
func (b Backend) choose() (Backend, error) {
	sock := tracepoint("sock_send_length") != nil && tracepoint("sock_recv_length") != nil
	switch b {
	case BackendSock:
		if !sock {
			return "", &Unsupported{Message: "hooks: sock needs the tracepoints sock_send_length and sock_recv_length of Linux 6.3 or newer, which this kernel lacks: set hooks to auto or sys_exit"}
		}
		return b, nil
	case BackendSysExit:
		return b, nil
	case BackendAuto, "":
		if sock {
			return BackendSock, nil
		}
		return BackendSysExit, nil
	default:
		return "", fmt.Errorf("hooks: unknown backend %q: use auto, sock or sys_exit", b)
	}
}

// kernelTypes caches the kernel's type information while programs are loaded;
// forget frees it, some 10 MB once decoded.
var kernelTypes typeCache

type typeCache struct {
	mu   sync.Mutex
	spec *btf.Spec
}

func (c *typeCache) load() (*btf.Spec, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spec == nil {
		spec, err := btf.LoadKernelSpec()
		if err != nil {
			return nil, err
		}
		c.spec = spec
	}
	return c.spec, nil
}

func (c *typeCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spec = nil
}

// tracepoint gives the parameters of a raw tracepoint, without the leading
// context; nil if the kernel does not have it.
func tracepoint(name string) []btf.FuncParam {
	spec, err := kernelTypes.load()
	if err != nil {
		return nil
	}
	var td *btf.Typedef
	if spec.TypeByName("btf_trace_"+name, &td) != nil {
		return nil
	}
	ptr, ok := td.Type.(*btf.Pointer)
	if !ok {
		return nil
	}
	proto, ok := ptr.Target.(*btf.FuncProto)
	if !ok || len(proto.Params) == 0 {
		return nil
	}
	return proto.Params[1:]
}

// What the io_uring_complete tracepoint tells has changed over time.
const (
	uringCompletionUnknown = iota
	uringCompletionFields  // (ring, request, user data, result, ...): v5.17 on
	uringCompletionEntry   // (ring, request, completion entry): v6.16 on
)

// uringCompletion tells which it is; before v5.17 the request is not told, and
// what goes through io_uring is not seen.
func uringCompletion() int {
	p := tracepoint("io_uring_complete")
	pointer := func(i int) bool {
		_, ok := btf.UnderlyingType(p[i].Type).(*btf.Pointer)
		return ok
	}
	switch {
	case len(p) == 3 && pointer(1) && pointer(2):
		return uringCompletionEntry
	case len(p) >= 5 && pointer(1):
		return uringCompletionFields
	default:
		return uringCompletionUnknown
	}
}

// explainLoad turns the kernel's terse refusals into a sentence.
func explainLoad(err error) error {
	var ve *ebpf.VerifierError
	switch {
	case errors.As(err, &ve):
		// The whole log: a rejected program cannot be debugged without it.
		return fmt.Errorf("kernel verifier rejected a program: %+v", ve)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &Unsupported{Message: "the kernel refused to load BPF programs: grant CAP_BPF and CAP_PERFMON, and check that kernel lockdown is not in confidentiality mode (cat /sys/kernel/security/lockdown)", Err: err}
	case errors.Is(err, unix.ENOMEM):
		return &Unsupported{Message: "not enough memory for BPF maps: lower limits.ring_buffer_size or limits.max_connections, or raise the memory limit", Err: err}
	default:
		return fmt.Errorf("load BPF programs: %w", err)
	}
}
