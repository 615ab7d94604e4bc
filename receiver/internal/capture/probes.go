// SPDX-License-Identifier: Apache-2.0

//go:build linux

package capture

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/preflight"
)

// Options say what to load. The zero value is not usable; the engine fills it
// from the configuration.
type Options struct {
	// Host is where we run; it is looked at if nil.
	Host *preflight.Host
	// Hooks is the backend wanted; BackendAuto takes the best there is.
	Hooks Backend
	// RingBytes is the memory for all rings together; RingCount how many
	// (rounded down to a power of two).
	RingBytes, RingCount int
	// MaxConnections bounds connection state where it is not part of the
	// socket (sys_exit backend).
	MaxConnections int
	// DefaultSelected is the verdict for processes without one of their own.
	DefaultSelected bool
	// Window is copied of each turn, After of later segments, until a policy
	// says otherwise. Bytes.
	Window uint32
	After  uint16
	// MaxPayload bounds what is copied of one call, at most 256 KiB. Bytes.
	MaxPayload uint32
	// Beginnings of connections of which everything is copied until they are known.
	Beginnings []Beginning
	// Datagrams: UDP sockets are watched, too.
	Datagrams bool
	// Listens: there is a record of KindListen when a process begins to listen.
	Listens bool
	// Propagation says which contexts are written into requests that leave.
	Propagation Propagation
	// Apart keeps the two ends of a connection from finding each other on this
	// host. Only for tests, which have one host for two.
	Apart bool
}

// Probes are the loaded programs and their maps.
type Probes struct {
	// Backend in use; never BackendAuto.
	Backend  Backend
	Rings    []*Ring
	Policies *Policies

	mu    sync.Mutex // links, epoch
	coll  *ebpf.Collection
	rings []*ebpf.Map
	links []link.Link
	epoch uint32
	asked map[string]bool // programs of `wanted` that were attached, or must not be
	// functions are the places in programs' files that are watched.
	functions map[place]bool
	// multi: functions are watched through links (Linux 6.6), which takes no more than the
	// right to load their programs. Through perf events it takes CAP_SYS_ADMIN, on kernels
	// that have ba677dbe77af ("perf: Revert to requiring CAP_SYS_ADMIN for uprobes": 6.16 and
	// stable ones of that summer).
	multi    bool
	detached bool

	propagation *propagation // nil without injection
}

// wanted are programs that cost something wherever they are attached, and the
// variables by which the others say that they would help.
var wanted = map[string]string{
	"recv_splice":  "splice_seen",
	"thread_woken": "handoff_wanted",
}

// Load checks the kernel, loads the programs and maps the rings. Nothing is
// attached yet. Errors are of type *preflight.Unsupported where the host lacks something.
func Load(o Options) (*Probes, error) {
	defer kernelTypes.forget()
	if o.Host == nil {
		o.Host = preflight.Inspect()
	}
	if err := o.Host.Check(); err != nil {
		return nil, err
	}
	backend, err := o.Hooks.choose()
	if err != nil {
		return nil, err
	}
	spec, err := loadCapture()
	if err != nil {
		return nil, fmt.Errorf("parse embedded BPF object: %w", err)
	}
	p := &Probes{Backend: backend, epoch: 1, asked: map[string]bool{}, functions: map[place]bool{}}
	p.multi = features.HaveBPFLinkUprobeMulti() == nil
	for name, prog := range spec.Programs {
		if !p.wants(name) {
			delete(spec.Programs, name)
		} else if p.multi && prog.Type == ebpf.Kprobe {
			prog.AttachType = ebpf.AttachTraceUprobeMulti
		}
	}
	if backend == BackendSock {
		spec.Maps["conn_hash"].MaxEntries = 1
	} else {
		spec.Maps["conn_hash"].MaxEntries = uint32(o.MaxConnections)
	}
	spec.Maps["joins"].MaxEntries = uint32(o.MaxConnections)
	if err := p.createRings(spec.Maps["rings"], o); err != nil {
		p.Close()
		return nil, err
	}
	size := p.Rings[0].Size()
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("count CPUs: %w", err)
	}
	constants := map[string]any{
		"ring_mask":        uint32(len(p.Rings) - 1),
		"ring_wake_bytes":  uint32(size / 2),
		"default_selected": boolMask(o.DefaultSelected),
		"default_window":   o.Window,
		"default_after":    uint32(o.After),
		"capture_max":      o.MaxPayload,
		"cpus":             uint32(cpus),
		"tick_ns":          tick(),
		"conn_by_address":  boolMask(backend == BackendSysExit),
		"join_same_node":   boolMask(!o.Apart),
		"datagrams":        boolMask(o.Datagrams),
		"listen_wanted":    boolMask(o.Listens),
		"pid_namespace":    o.Host.PIDNamespace, // in whose ids the kernel is to speak
		"beginnings":       beginnings(o.Beginnings),
	}
	if err := o.Propagation.size(spec, constants, o); err != nil {
		p.Close()
		return nil, err
	}
	if err := setConstants(spec, constants); err != nil {
		p.Close()
		return nil, err
	}
	p.coll, err = ebpf.NewCollection(spec)
	if err != nil {
		p.Close()
		return nil, explainLoad(err)
	}
	p.Policies, err = newPolicies(p.coll.Maps["policies"])
	if err != nil {
		p.Close()
		return nil, err
	}
	if o.Propagation.any() {
		if p.propagation, err = loadPropagationOnto(p.coll, constants, o); err != nil {
			p.Close()
			return nil, err
		}
	}
	return p, nil
}

func setConstants(spec *ebpf.CollectionSpec, constants map[string]any) error {
	for name, value := range constants {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set BPF constant %s: %w", name, err)
		}
	}
	return nil
}

// tick is the length of the kernel's jiffies, ns: coarse clocks count them.
func tick() uint64 {
	var t unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &t); err != nil || t.Nano() <= 0 {
		return 4_000_000
	}
	return uint64(t.Nano())
}

// wants reports whether a program belongs to the backend and the kernel.
func (p *Probes) wants(program string) bool {
	switch program {
	case "sock_send", "sock_recv":
		return p.Backend == BackendSock
	case "recv_splice":
		return p.Backend == BackendSock && tracepoint("tcp_rcv_space_adjust") != nil
	case "sys_exit":
		return p.Backend == BackendSysExit
	case "uring_complete_cqe":
		return uringCompletion() == uringCompletionEntry
	case "uring_complete_res":
		return uringCompletion() == uringCompletionFields
	default:
		return true
	}
}

func (p *Probes) createRings(outer *ebpf.MapSpec, o Options) error {
	n := 1
	for n*2 <= min(o.RingCount, runtime.NumCPU()) {
		n *= 2
	}
	size := 4096
	for size*2*n <= o.RingBytes {
		size *= 2
	}
	outer.MaxEntries = uint32(n)
	outer.InnerMap.MaxEntries = uint32(size)
	outer.Contents = nil
	for i := range n {
		m, err := ebpf.NewMap(&ebpf.MapSpec{
			Name: fmt.Sprintf("ring_%d", i), Type: ebpf.RingBuf, MaxEntries: uint32(size),
		})
		if err != nil {
			return explainLoad(fmt.Errorf("create ring: %w", err))
		}
		p.rings = append(p.rings, m)
		r, err := newRing(m.FD(), size)
		if err != nil {
			return err
		}
		p.Rings = append(p.Rings, r)
		outer.Contents = append(outer.Contents, ebpf.MapKV{Key: uint32(i), Value: m})
	}
	return nil
}

// Attach starts the capture.
func (p *Probes) Attach() error {
	for name, prog := range p.coll.Programs {
		if wanted[name] != "" || prog.Type() == ebpf.Kprobe {
			continue
		}
		l, err := link.AttachTracing(link.TracingOptions{Program: prog, AttachType: ebpf.AttachTraceRawTp})
		if err != nil {
			return fmt.Errorf("attach %s: %w", name, explainLoad(err))
		}
		p.links = append(p.links, l)
	}
	if err := p.enable(1); err != nil {
		return err
	}
	return p.propagation.attach()
}

func (p *Probes) enable(v uint32) error {
	if err := p.coll.Variables["enabled"].Set(v); err != nil {
		return fmt.Errorf("switch probes: %w", err)
	}
	return nil
}

// AttachWanted attaches the hooks that need a reason, once there is one. It is
// meant to be called often and costs next to nothing.
func (p *Probes) AttachWanted() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, variable := range wanted {
		prog := p.coll.Programs[name]
		if prog == nil || p.asked[name] {
			continue
		}
		var seen uint32
		if err := p.coll.Variables[variable].Get(&seen); err != nil || seen == 0 && !p.propagation.wants(variable) {
			continue
		}
		p.asked[name] = true
		l, err := link.AttachTracing(link.TracingOptions{Program: prog, AttachType: ebpf.AttachTraceRawTp})
		if err != nil {
			return fmt.Errorf("attach %s: %w", name, err)
		}
		p.links = append(p.links, l)
	}
	return nil
}

// Detach ends the capture; what is in the rings can still be drained.
func (p *Probes) Detach() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range wanted {
		p.asked[name] = true // nothing is attached any more
	}
	p.detached = true
	p.propagation.detach()
	if p.coll != nil {
		_ = p.enable(0) // detaching does the same, one by one
	}
	for _, l := range p.links {
		_ = l.Close()
	}
	p.links = nil
}

// Close detaches and frees everything.
func (p *Probes) Close() {
	p.Detach()
	for _, r := range p.Rings {
		r.close()
	}
	p.Rings = nil
	for _, m := range p.rings {
		_ = m.Close()
	}
	p.rings = nil
	p.Policies.close()
	p.Policies = nil
	p.propagation.close()
	p.propagation = nil
	if p.coll != nil {
		p.coll.Close()
		p.coll = nil
	}
}

// Verdict decides about a process (thread group id).
type Verdict uint32

const (
	VerdictSelected = Verdict(captureProcessVerdictPROCESS_SELECTED)
	VerdictIgnored  = Verdict(captureProcessVerdictPROCESS_IGNORED)
)

// SetProcess puts a verdict in force; children inherit it.
func (p *Probes) SetProcess(pid uint32, v Verdict) error {
	_, err := p.Judge(pid, p.Executed(pid), v)
	return err
}

// executedShift is behind the verdict in the kernel's map (bpf/maps.h).
const executedShift = 8

// Executed is how often a process has executed something, as far as that is known: what a
// verdict on it has to be given for.
func (p *Probes) Executed(pid uint32) uint32 {
	executed, _ := p.judged(pid)
	return executed
}

// judged is what the kernel knows of a process: nothing, if it has not been told.
func (p *Probes) judged(pid uint32) (executed uint32, v Verdict) {
	var current uint32
	_ = p.coll.Maps["processes"].Lookup(pid, &current)
	return current >> executedShift, Verdict(current & (1<<executedShift - 1))
}

// Judge puts a verdict in force, if the process has executed nothing since executed was
// asked for; children inherit it. before is what was in force: usually, for a process that
// has executed something, that it is watched until it is judged; but a verdict that was
// given at the moment it did may have taken the place of that.
func (p *Probes) Judge(pid, executed uint32, v Verdict) (before Verdict, err error) {
	now, before := p.judged(pid)
	if now != executed {
		return before, nil // its next verdict is on its way
	}
	processes, value := p.coll.Maps["processes"], executed<<executedShift|uint32(v)
	// A process that the kernel has noted is forgotten when it exits, which may be
	// now; one that it has not noted may have exited before. What is noted of one before it
	// is found alive will be forgotten at its exit.
	err = processes.Update(pid, value, ebpf.UpdateExist)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		if executed != 0 || !(procfs.FS{}).Alive(pid) {
			return before, nil
		}
		if err = processes.Put(pid, value); err == nil && !(procfs.FS{}).Alive(pid) {
			return before, p.forget("processes", pid)
		}
	}
	if err != nil {
		return before, fmt.Errorf("set verdict for process %d: %w", pid, err)
	}
	return before, p.newEpoch()
}

// forget removes what was noted of a process too late.
func (p *Probes) forget(name string, pid uint32) error {
	if err := p.coll.Maps[name].Delete(pid); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("forget process %d in %s: %w", pid, name, err)
	}
	return nil
}

// Runtime says how a process works: which execution unit serves a request.
type Runtime struct {
	// EventLoop: its threads serve several requests at once. The probes find
	// that out, too, but not before it happens.
	EventLoop bool
	// Batched: its event loops, if it has any, may read on before they do what
	// was read before. They have to prove that they do not.
	Batched bool
	// Pooled: its threads may read requests for others to serve. They have to prove
	// that they do not.
	Pooled bool
	// Static data whose futexes tell nothing about who works for whom: from an
	// address, so many bytes.
	StaticStart, StaticSize uint64
	// Go is zero for other programs.
	Go GoRuntime
	// Python is zero for other programs, and where its layout is not known.
	Python PythonRuntime
	// TokioTask is where a thread has the number of its current tokio task,
	// relative to the thread pointer; 0 for other programs.
	TokioTask int32
	// RubyThread is the address of the tls_index of Ruby's current execution context; 0
	// for other programs.
	RubyThread uint64
	// Java is zero for other programs, and where its layout is not known.
	Java JavaRuntime
}

// JavaRuntime is where things are in a process with a HotSpot: see runtimes.JVM.
type JavaRuntime struct {
	ThreadModule, Collections, Collecting, CallStub uint64
	HeapStart, HeapEnd, OopBase                     uint64
	ThreadOffset                                    uint32
	OopShift                                        uint8
	Wide                                            bool
	TLABStart, TLABTop, TLABEnd                     uint16
	ThreadObject, Supers, Runner, Waiters, Waiter   uint16
	ThreadHandle                                    bool
	ClassBase, FutureTask                           uint64
	ClassShift                                      uint8
	Writer                                          uint32
	WriterTube, TubeChannel, ChannelDescriptor      uint16
	// Steps are classes and offsets in their objects.
	Steps [24][2]uint32
}

// PythonRuntime is where things are in a CPython process: offsets in bytes, of
// PyThreadState.context, TaskObj.task_context, FutureObj.fut_callback0, the task in such a callback and, if known,
// PyThreadState.datastack_chunk; and the address of the key of thread states.
type PythonRuntime struct {
	Context, TaskContext, FutureCallback, CallbackTask uint16
	Frames                                             uint16
	Key                                                uint64
}

// GoRuntime are offsets, in bytes, into the structs of a Go program's version.
type GoRuntime struct {
	// Of runtime.g.
	GoID, ParentGoID, StackHi uint16
	// The first waiter of runtime.hchan.recvq; runtime.sudog.c.
	ChanRecvQ, SudogC uint16
	// TLSG is the place of the current g relative to the thread pointer; 0
	// where it is in a register whenever Go code makes a system call.
	TLSG int32
}

// priorWrong makes the kernel doubt a model until it was right often enough.
const priorWrong = 8

// SetRuntime tells how a process works; children inherit it.
func (p *Probes) SetRuntime(pid uint32, r Runtime) error {
	v := captureRuntime{
		EventLoop: uint8(boolMask(r.EventLoop)), StaticStart: r.StaticStart, StaticSize: r.StaticSize,
		TokioTask: r.TokioTask, RubyTls: r.RubyThread,
	}
	if r.Batched {
		v.Wrong = priorWrong
	}
	if r.Pooled {
		v.ThreadWrong = priorWrong
	}
	if g := &r.Go; g.GoID != 0 {
		v.G_goid, v.G_parent, v.G_stackHi, v.TlsG = g.GoID, g.ParentGoID, g.StackHi, g.TLSG
		v.ChanRecvq, v.SudogC = g.ChanRecvQ, g.SudogC
	}
	if y := &r.Python; y.Key != 0 {
		v.PythonContext, v.PythonTask, v.PythonWaiter = y.Context, y.TaskContext, y.FutureCallback
		v.PythonSelf, v.PythonFrames, v.PythonKey = y.CallbackTask, y.Frames, y.Key
	}
	if r.Java.ThreadModule != 0 {
		if err := p.coll.Maps["jvms"].Put(pid, r.Java.layout()); err != nil {
			return fmt.Errorf("set runtime of process %d: %w", pid, err)
		}
		v.Java = 1
	}
	// What the probes have found out since stays.
	var known captureRuntime
	if p.coll.Maps["runtimes"].Lookup(pid, &known) == nil {
		v.RubyAt, v.RubyWords = known.RubyAt, known.RubyWords
		v.Active, v.Uvloop, v.Pools, v.TokioStarts = known.Active, known.Uvloop, known.Pools, known.TokioStarts
		v.Streams, v.ItemSeen, v.ItemAt = known.Streams, known.ItemSeen, known.ItemAt
	}
	if err := p.coll.Maps["runtimes"].Put(pid, v); err != nil {
		return fmt.Errorf("set runtime of process %d: %w", pid, err)
	}
	if !(procfs.FS{}).Alive(pid) {
		if v.Java != 0 {
			_ = p.forget("jvms", pid)
		}
		return p.forget("runtimes", pid)
	}
	p.propagation.executed(pid)
	return nil
}

func (j *JavaRuntime) layout() captureJvm {
	v := captureJvm{
		ThreadModule: j.ThreadModule, ThreadOffset: j.ThreadOffset, Collections: j.Collections, Collecting: j.Collecting, CallStub: j.CallStub,
		HeapStart: j.HeapStart, HeapSize: j.HeapEnd - j.HeapStart,
		OopBase: j.OopBase, OopShift: uint32(j.OopShift), Wide: uint32(boolMask(j.Wide)),
		TlabStart: j.TLABStart, TlabTop: j.TLABTop, TlabEnd: j.TLABEnd,
		ThreadObject: j.ThreadObject, ThreadHandle: uint8(boolMask(j.ThreadHandle)),
		ClassBase: j.ClassBase, ClassShift: j.ClassShift, Supers: j.Supers, FutureTask: j.FutureTask, Runner: j.Runner, Waiters: j.Waiters, Waiter: j.Waiter,
		Writer: j.Writer, WriterTube: j.WriterTube, TubeChannel: j.TubeChannel, ChannelDescriptor: j.ChannelDescriptor,
	}
	for i, s := range j.Steps {
		v.Steps[i].Class, v.Steps[i].Offset = s[0], s[1]
	}
	return v
}

// LookAgain is a process about which SetRuntime should be told more, as far as there is more
// to be known; 0: none. Each is named once for every time that more was missing.
func (p *Probes) LookAgain() (pid uint32) {
	m := p.coll.Maps["look_again"]
	if m.NextKey(nil, &pid) != nil || m.Delete(pid) != nil {
		return 0
	}
	return pid
}

// ForgetRuntime takes back what SetRuntime said: nothing is looked for in the process any
// more.
func (p *Probes) ForgetRuntime(pid uint32) {
	_ = p.coll.Maps["runtimes"].Delete(pid) // there may be nothing to take back
}

// newEpoch makes connections ask for their process's verdict again.
func (p *Probes) newEpoch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epoch++
	if err := p.coll.Variables["verdict_epoch"].Set(p.epoch); err != nil {
		return fmt.Errorf("set verdict epoch: %w", err)
	}
	return nil
}

// Counters are the probes' own, summed over CPUs since Load.
type Counters struct {
	LostRing    uint64 // records that found their ring full
	Pressure    uint64 // segments of which less was copied because their ring was three quarters full
	LostState   uint64 // operations whose connection state could not be kept
	Unreadable  uint64 // segments whose payload could not be read
	Unsupported uint64 // operations by 32-bit processes
	Missed      uint64 // program runs the kernel skipped
	// Injections are about contexts written into requests; nil without that.
	Injections []InjectionCount
}

// Counters reads them.
func (p *Probes) Counters() (Counters, error) {
	var sums [captureCounterCOUNTERS]uint64
	var perCPU []uint64
	for i := range sums {
		if err := p.coll.Maps["counters"].Lookup(uint32(i), &perCPU); err != nil {
			return Counters{}, fmt.Errorf("read counters: %w", err)
		}
		for _, v := range perCPU {
			sums[i] += v
		}
	}
	c := Counters{
		LostRing:    sums[captureCounterCOUNT_LOST_RING],
		Pressure:    sums[captureCounterCOUNT_PRESSURE],
		LostState:   sums[captureCounterCOUNT_LOST_STATE],
		Unreadable:  sums[captureCounterCOUNT_UNREADABLE],
		Unsupported: sums[captureCounterCOUNT_UNSUPPORTED],
	}
	for _, prog := range p.coll.Programs {
		if stats, err := prog.Stats(); err == nil {
			c.Missed += stats.RecursionMisses
		}
	}
	c.Injections = p.propagation.counts(sums[:])
	return c, nil
}
