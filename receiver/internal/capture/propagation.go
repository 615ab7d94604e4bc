// SPDX-License-Identifier: Apache-2.0

//go:build linux

package capture

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/preflight"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/sampling"
)

// Propagation says which contexts are written into requests that leave, and how
// they are made. The zero value writes none, and nothing of it is loaded.
type Propagation struct {
	// TCPOption puts contexts into TCP options, for peers that understand them;
	// HTTPHeader into the heads of HTTP/1 requests.
	TCPOption, HTTPHeader bool
	// Key of causality.IDs.
	Key [3]uint64
	// Sampler decides about the sampled flag.
	Sampler sampling.Rule
}

func (o *Propagation) any() bool { return o.TCPOption || o.HTTPHeader }

// size fits the maps of the capture programs to what injection needs of them, and
// adds the constants that both collections know.
func (o *Propagation) size(spec *ebpf.CollectionSpec, constants map[string]any, all Options) error {
	if !o.any() {
		for _, name := range []string{"remotes", "tracestates", "unfinished", "arrivals", "units_hash"} {
			spec.Maps[name].MaxEntries = 1
		}
		return nil
	}
	if err := all.Host.CheckInjection(preflight.Probe()); err != nil {
		return err
	}
	inject := uint32(0)
	if o.TCPOption {
		inject |= uint32(captureInjectionINJECT_TCP_OPTION)
	}
	if o.HTTPHeader {
		inject |= uint32(captureInjectionINJECT_HTTP_HEADER)
	}
	constants["inject"] = inject
	constants["id_key"] = o.Key
	constants["sample_parent_based"] = boolMask(o.Sampler.ParentBased)
	constants["sample_none"] = boolMask(o.Sampler.None)
	constants["sample_bound"] = o.Sampler.Bound
	byThread := features.HaveProgramHelper(ebpf.SkMsg, asm.FnTaskStorageGet) != nil
	constants["units_by_tid"] = boolMask(byThread)
	if !byThread {
		spec.Maps["units_hash"].MaxEntries = 1
	}
	spec.Maps["arrivals"].MaxEntries = uint32(all.MaxConnections)
	return nil
}

// propagation are the programs that write contexts. A nil one does nothing.
type propagation struct {
	coll      *ebpf.Collection
	cgroup    string
	links     []link.Link
	attached  bool // message_sent, to the sockets
	residents *residents
	stop      chan struct{}
	sweeper   sync.WaitGroup
}

// loadPropagationOnto loads the programs, which share the state of the capture's.
func loadPropagationOnto(capture *ebpf.Collection, constants map[string]any, o Options) (*propagation, error) {
	spec, err := loadPropagation()
	if err != nil {
		return nil, fmt.Errorf("parse embedded BPF object: %w", err)
	}
	if !o.Propagation.HTTPHeader {
		delete(spec.Programs, "message_sent")
		spec.Maps["sockets"].MaxEntries = 1
	} else {
		spec.Maps["sockets"].MaxEntries = uint32(o.MaxConnections)
	}
	if !o.Propagation.TCPOption {
		delete(spec.Programs, "existing_listeners")
	}
	used := map[string]bool{".rodata": true, ".bss": true, ".data": true}
	for _, prog := range spec.Programs {
		for i := range prog.Instructions {
			if ins := &prog.Instructions[i]; ins.IsLoadFromMap() {
				used[ins.Reference()] = true
			}
		}
	}
	// Working memory is not shared: these programs may be preempted by the
	// others.
	own := []string{"scratches", "scans", ".rodata", ".bss", ".data"}
	shared := map[string]*ebpf.Map{}
	for name, m := range spec.Maps {
		if !used[name] {
			delete(spec.Maps, name)
			continue
		}
		if other := capture.Maps[name]; other != nil && !slices.Contains(own, name) {
			m.MaxEntries = other.MaxEntries()
			m.InnerMap, m.Contents = nil, nil
			shared[name] = other
		}
	}
	p := &propagation{cgroup: o.Host.CgroupRoot, stop: make(chan struct{})}
	mine := map[string]any{}
	for name, value := range constants {
		if spec.Variables[name] != nil {
			mine[name] = value
		}
	}
	if o.Propagation.HTTPHeader {
		if err := sockmapWorks(); err != nil {
			return nil, explainPropagation(err)
		}
		right := fionreadWorks()
		mine["may_stay"] = boolMask(right)
		if !right {
			p.residents = newResidents()
		}
	}
	if err := setConstants(spec, mine); err != nil {
		return nil, err
	}
	p.coll, err = ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared})
	if err != nil {
		return nil, explainPropagation(err)
	}
	if p.residents != nil {
		p.residents.start(p.coll.Maps["stayers"], p.coll.Maps["programs"])
	}
	return p, nil
}

func explainPropagation(err error) error {
	var ve *ebpf.VerifierError
	switch {
	case errors.As(err, &ve):
		return fmt.Errorf("context_propagation.inject: kernel verifier rejected a program: %+v", ve)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &preflight.Unsupported{Message: "context_propagation.inject: the kernel refused the programs that write into requests: grant CAP_NET_ADMIN", Err: err}
	default:
		return fmt.Errorf("context_propagation.inject: %w", err)
	}
}

func (p *propagation) attach() error {
	if p == nil {
		return nil
	}
	if prog := p.coll.Programs["message_sent"]; prog != nil {
		err := link.RawAttachProgram(link.RawAttachProgramOptions{Target: p.coll.Maps["sockets"].FD(), Program: prog, Attach: ebpf.AttachSkMsgVerdict})
		if err != nil {
			return fmt.Errorf("attach message_sent: %w", explainPropagation(err))
		}
		p.attached = true
		p.sweeper.Go(p.sweep)
	}
	if err := p.coll.Variables["enabled"].Set(uint32(1)); err != nil {
		return fmt.Errorf("switch probes: %w", err)
	}
	l, err := link.AttachCgroup(link.CgroupOptions{Path: p.cgroup, Attach: ebpf.AttachCGroupSockOps, Program: p.coll.Programs["socket_event"]})
	if err != nil {
		return &preflight.Unsupported{Message: fmt.Sprintf("context_propagation.inject: cannot attach to the cgroup %s: grant CAP_NET_ADMIN", p.cgroup), Err: err}
	}
	p.links = append(p.links, l)
	p.listeners()
	return nil
}

// sweep takes sockets out of the sockhash that the kernel side has given up, but
// cannot take out itself.
func (p *propagation) sweep() {
	sockets, leaving := p.coll.Maps["sockets"], p.coll.Maps["leaving"]
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-ticker.C:
		}
		var cookie uint64
		for leaving.NextKey(nil, &cookie) == nil {
			_ = sockets.Delete(cookie)
			if leaving.Delete(cookie) != nil {
				break
			}
		}
	}
}

// wants reports whether the programs miss a hook that the capture's would ask for.
func (p *propagation) wants(variable string) bool {
	if p == nil || p.coll == nil {
		return false
	}
	v, seen := p.coll.Variables[variable], uint32(0)
	return v != nil && v.Get(&seen) == nil && seen != 0
}

// listeners makes servers that listen already answer in the handshake. They are
// found by network namespace; without CAP_SYS_ADMIN only our own can be looked
// into.
func (p *propagation) listeners() {
	prog := p.coll.Programs["existing_listeners"]
	if prog == nil {
		return
	}
	iter, err := link.AttachIter(link.IterOptions{Program: prog})
	if err != nil {
		return
	}
	defer iter.Close()
	run := func() {
		if r, err := iter.Open(); err == nil {
			_, _ = io.Copy(io.Discard, r)
			_ = r.Close()
		}
	}
	seen := map[uint64]bool{}
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/net", &st) == nil {
		seen[st.Ino] = true
	}
	run()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with us
		names, _ := filepath.Glob("/proc/[0-9]*/ns/net")
		for _, name := range names {
			if unix.Stat(name, &st) != nil || seen[st.Ino] {
				continue
			}
			seen[st.Ino] = true
			f, err := os.Open(name)
			if err != nil {
				continue
			}
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
			_ = f.Close()
			if err != nil {
				return
			}
			run()
		}
	}()
	<-done
}

// Carriers of contexts: the values of context_propagation.inject.
const (
	carrierOption = "tcp_option"
	carrierHeader = "http_header"
)

// InjectionCount is a number of contexts that were written, or, with a reason, of
// requests (or connections) for which none was; metadata.yaml has the reasons.
type InjectionCount struct {
	Carrier, Reason string
	Count           uint64
}

var injectionCounters = []struct {
	carrier, reason string
	counter         captureCounter
}{
	{carrierHeader, "", captureCounterCOUNT_HEADER_WRITTEN},
	{carrierHeader, "no_room", captureCounterCOUNT_HEADER_NO_ROOM},
	{carrierHeader, "not_a_head", captureCounterCOUNT_HEADER_NOT_HEAD},
	{carrierHeader, "present", captureCounterCOUNT_HEADER_PRESENT},
	{carrierHeader, "boundary", captureCounterCOUNT_HEADER_BOUNDARY},
	{carrierHeader, "unsupported", captureCounterCOUNT_HEADER_UNSUPPORTED},
	{carrierHeader, "unknown_context", captureCounterCOUNT_HEADER_CONTEXT},
	{carrierHeader, "left", captureCounterCOUNT_HEADER_LEFT},
	{carrierHeader, "error", captureCounterCOUNT_HEADER_ERROR},
	{carrierOption, "", captureCounterCOUNT_OPTION_WRITTEN},
	{carrierOption, "no_room", captureCounterCOUNT_OPTION_NO_ROOM},
	{carrierOption, "peer", captureCounterCOUNT_OPTION_PEER},
	{carrierOption, "unknown_context", captureCounterCOUNT_OPTION_CONTEXT},
	{carrierOption, "error", captureCounterCOUNT_OPTION_ERROR},
}

func (p *propagation) counts(sums []uint64) (all []InjectionCount) {
	if p == nil {
		return nil
	}
	for _, c := range injectionCounters {
		all = append(all, InjectionCount{c.carrier, c.reason, sums[c.counter]})
	}
	return all
}

// executed is told of a process that runs another program now.
func (p *propagation) executed(pid uint32) {
	if p != nil {
		p.residents.executed(pid)
	}
}

// detach ends the injection, and gives sockets back their own functions.
func (p *propagation) detach() {
	if p == nil || p.coll == nil {
		return
	}
	_ = p.coll.Variables["enabled"].Set(uint32(0))
	for _, l := range p.links {
		_ = l.Close()
	}
	p.links = nil
	if !p.attached {
		return
	}
	p.attached = false
	close(p.stop)
	p.sweeper.Wait()
	sockets := p.coll.Maps["sockets"]
	var cookie uint64
	for sockets.NextKey(nil, &cookie) == nil {
		if sockets.Delete(cookie) != nil {
			break
		}
	}
	_ = link.RawDetachProgram(link.RawDetachProgramOptions{Target: sockets.FD(), Program: p.coll.Programs["message_sent"], Attach: ebpf.AttachSkMsgVerdict})
}

func (p *propagation) close() {
	if p == nil {
		return
	}
	p.detach()
	p.residents.close()
	if p.coll != nil {
		p.coll.Close()
		p.coll = nil
	}
}
