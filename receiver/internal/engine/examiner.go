// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"sync"
	"time"

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
	e.running.Go(e.run)
	return e
}

// settling is how long a process that was started takes to load its libraries,
// amply: it is examined again then.
const settling = 2 * time.Second

func (e *examiner) run() {
	for _, pid := range discovery.Scan("/proc") {
		e.examine(pid)
	}
	type started struct {
		pid  uint32
		time time.Time
		as   capture.Runtime
	}
	var young []started
	ticker := time.NewTicker(settling / 4)
	defer ticker.Stop()
	for {
		select {
		case pid, ok := <-e.queue:
			if !ok {
				return
			}
			r := e.examine(pid)
			if len(young) < cap(e.queue) {
				young = append(young, started{pid, time.Now(), r})
			}
		case now := <-ticker.C:
			for len(young) > 0 && now.Sub(young[0].time) > settling {
				if r, ok := e.look(young[0].pid); ok && r != young[0].as {
					_ = e.set(young[0].pid, r)
				}
				young = young[1:]
			}
		}
	}
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
func (e *examiner) examine(pid uint32) capture.Runtime {
	r, ok := e.look(pid)
	if ok {
		_ = e.set(pid, r)
	}
	return r
}

func (e *examiner) look(pid uint32) (r capture.Runtime, ok bool) {
	p, err := e.runtimes.Examine(pid)
	if err != nil {
		return r, false
	}
	return works(p)
}

// works is how processes of a runtime work; false if that is not known.
func works(p runtimes.Process) (r capture.Runtime, ok bool) {
	switch p.Kind {
	case runtimes.Go:
		if p.Go == nil {
			return r, false
		}
		r.Go = capture.GoRuntime{
			GoID: p.Go.GoID, ParentGoID: p.Go.ParentGoID, StackHi: p.Go.StackHi,
			ChanRecvQ: p.Go.ChanRecvQ, SudogC: p.Go.SudogC, TLSG: p.Go.TLSG,
		}
	case runtimes.Node, runtimes.Nginx, runtimes.Envoy:
		r.EventLoop = true
	case runtimes.HAProxy, runtimes.Rust:
		r.EventLoop, r.Batched = true, true
	default:
		// If it turns out to have event loops, they have to prove themselves.
		r.Batched = true
	}
	if len(p.StaticData) > 0 {
		r.StaticStart, r.StaticSize = p.StaticData[0].Start, p.StaticData[0].End-p.StaticData[0].Start
	}
	return r, true
}
