// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"sync"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/capture"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/runtimes"
)

// examiner tells the kernel how processes work. Until it is told, no request
// that a process sends has a parent in it.
type examiner struct {
	runtimes *runtimes.Examiner
	set      func(pid uint32, r capture.Runtime) error
	// queue has processes that run another program now. When it is full they
	// stay unknown: that many start at once only where nobody serves requests.
	queue   chan uint32
	running sync.WaitGroup
}

// newExaminer examines the processes there are, in the background, and then
// those that are queued.
func newExaminer(set func(uint32, capture.Runtime) error) *examiner {
	e := &examiner{
		runtimes: runtimes.NewExaminer(procfs.FS{}),
		set:      set,
		queue:    make(chan uint32, 4096),
	}
	e.running.Go(func() {
		for _, pid := range discovery.Scan("/proc") {
			e.examine(pid)
		}
		for pid := range e.queue {
			e.examine(pid)
		}
	})
	return e
}

// executed is told that a process runs another program now.
func (e *examiner) executed(pid uint32) {
	select {
	case e.queue <- pid:
	default:
	}
}

// stop ends it; nothing may be queued any more.
func (e *examiner) stop() {
	close(e.queue)
	e.running.Wait()
}

// examine never reports errors: a process that has exited is the usual one.
func (e *examiner) examine(pid uint32) {
	p, err := e.runtimes.Examine(pid)
	if err != nil {
		return
	}
	if r, ok := works(p); ok {
		_ = e.set(pid, r)
	}
}

// works is how processes of a runtime work; false if that is not known.
func works(p runtimes.Process) (r capture.Runtime, ok bool) {
	switch p.Kind {
	case runtimes.Go:
		if p.Go == nil {
			return r, false
		}
		r.Go = &capture.GoRuntime{
			GoID: p.Go.GoID, ParentGoID: p.Go.ParentGoID, StackHi: p.Go.StackHi,
			ChanRecvQ: p.Go.ChanRecvQ, SudogC: p.Go.SudogC, TLSG: p.Go.TLSG,
		}
	case runtimes.Node, runtimes.Nginx, runtimes.Rust, runtimes.Envoy:
		r.EventLoop = true
	case runtimes.HAProxy:
		r.EventLoop, r.Batched = true, true
	}
	if len(p.StaticData) > 0 {
		r.StaticStart, r.StaticSize = p.StaticData[0].Start, p.StaticData[0].End-p.StaticData[0].Start
	}
	return r, true
}
