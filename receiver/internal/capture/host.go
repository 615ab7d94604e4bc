// SPDX-License-Identifier: Apache-2.0

//go:build linux

package capture

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/preflight"
)

// Backend is a way to see socket bytes move; see bpf/capture.bpf.c.
type Backend string

const (
	BackendAuto    Backend = "auto"
	BackendSock    Backend = "sock"     // tp_btf sock_send_length, sock_recv_length; Linux 6.3+
	BackendSysExit Backend = "sys_exit" // raw tracepoint sys_exit; Linux 5.14+
)

// Survey is what the kernel's BPF can do. It takes some 30 ms.
func Survey() preflight.Kernel {
	defer kernelTypes.forget()
	k := preflight.Probe()
	k.SockHooks = hasSockHooks()
	k.IOUring = uringCompletion() != uringCompletionUnknown
	if spec, err := kernelTypes.load(); err == nil {
		var iterator *btf.Func
		k.Iterators = spec.TypeByName("bpf_iter_tcp", &iterator) == nil
	}
	return k
}

func hasSockHooks() bool {
	return tracepoint("sock_send_length") != nil && tracepoint("sock_recv_length") != nil
}

// choose resolves BackendAuto and checks an explicit choice.
func (b Backend) choose() (Backend, error) {
	sock := hasSockHooks()
	switch b {
	case BackendSock:
		if !sock {
			return "", &preflight.Unsupported{Message: "hooks: sock needs the tracepoints sock_send_length and sock_recv_length of Linux 6.3 or newer, which this kernel lacks: set hooks to auto or sys_exit"}
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
		return &preflight.Unsupported{Message: "the kernel refused to load BPF programs: grant CAP_BPF and CAP_PERFMON, and check that kernel lockdown is not in confidentiality mode (cat /sys/kernel/security/lockdown) and that no seccomp profile forbids bpf (Kubernetes: securityContext: {seccompProfile: {type: Unconfined}})", Err: err}
	case errors.Is(err, unix.ENOMEM):
		return &preflight.Unsupported{Message: "not enough memory for BPF maps: lower limits.ring_buffer_size or limits.max_connections, or raise the memory limit", Err: err}
	default:
		return fmt.Errorf("load BPF programs: %w", err)
	}
}
