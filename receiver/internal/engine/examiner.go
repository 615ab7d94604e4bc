// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"sync"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/capture"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/container"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/runtimes"
)

// inspectors look at processes, and remember what they have seen of files and containers.
type inspectors struct {
	runtimes   *runtimes.Examiner
	containers *container.Finder
}

func newInspectors() *inspectors {
	return &inspectors{runtimes.NewExaminer(procfs.FS{}), container.NewFinder(procfs.FS{})}
}

// examiner tells the kernel how processes work. Until it is told, no request
// that a process sends has a parent in it.
type examiner struct {
	runtimes *runtimes.Examiner
	set      func(pid uint32, r capture.Runtime) error
	watch    func(f capture.Function, path string, offset uint64) error
	// wanted reports whether a process is selected. Others are not looked into, and
	// nothing is attached to what they run.
	wanted func(pid uint32) bool
	// asked is a process to be looked at again, 0 if there is none. It is asked now and then.
	asked func() uint32
	// queue has processes that run another program now. When it is full they
	// stay unknown: that many start at once only where nobody serves requests.
	queue   chan uint32
	running sync.WaitGroup
}

// newExaminer makes one that is not started yet.
func newExaminer(r *runtimes.Examiner, set func(uint32, capture.Runtime) error, watch func(capture.Function, string, uint64) error, wanted func(uint32) bool, asked func() uint32) *examiner {
	return &examiner{
		runtimes: r,
		set:      set,
		watch:    watch,
		wanted:   wanted,
		asked:    asked,
		queue:    make(chan uint32, 4096),
	}
}

// start examines the processes there are, in the background, and then those that are
// queued.
func (e *examiner) start() { e.running.Go(e.run) }

// A process that was started is examined again when it has loaded its libraries,
// amply, and twice more for those of slow starters, and that it loads when it needs them first.
var settling = [...]time.Duration{1 * time.Second, 6 * time.Second, 30 * time.Second}

// started is a process that was started lately.
type started struct {
	pid  uint32
	time time.Time
	as   capture.Runtime
}

func (e *examiner) run() {
	for _, pid := range discovery.Scan("/proc") {
		e.examine(pid)
	}
	var young [len(settling)][]started
	ticker := time.NewTicker(settling[0] / 4)
	defer ticker.Stop()
	for {
		select {
		case pid, ok := <-e.queue:
			if !ok {
				return
			}
			r := e.examine(pid)
			if len(young[0]) < cap(e.queue) {
				young[0] = append(young[0], started{pid, time.Now(), r})
			}
		case now := <-ticker.C:
			for pid := e.asked(); pid != 0; pid = e.asked() {
				e.examine(pid)
			}
			for i := range young {
				for len(young[i]) > 0 && now.Sub(young[i][0].time) > settling[i] {
					s := young[i][0]
					young[i] = young[i][1:]
					if !e.again(&s) || i+1 == len(young) || len(young[i+1]) >= cap(e.queue) {
						continue
					}
					young[i+1] = append(young[i+1], s)
				}
			}
		}
	}
}

// again examines a process once more, and reports whether it is still there.
func (e *examiner) again(s *started) bool {
	r, ok := e.look(s.pid)
	if ok && r != s.as {
		_ = e.set(s.pid, r)
		s.as = r
	}
	return ok
}

// taken is told that a process is selected, or runs another program now.
func (e *examiner) taken(pid uint32) {
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
	if !e.wanted(pid) {
		return r, false
	}
	p, err := e.runtimes.Examine(pid)
	if err != nil {
		return r, false
	}
	for _, f := range p.Functions {
		// If it fails, there are links where parents could be.
		_ = e.watch(functions[f.Name], procfs.FS{}.Path(pid, "root")+f.Path, f.Offset)
	}
	return works(p)
}

var functions = map[runtimes.FunctionName]capture.Function{
	runtimes.TaskInit:     capture.PythonTaskInit,
	runtimes.SetResult:    capture.PythonSetResult,
	runtimes.QueuePut:     capture.PythonPut,
	runtimes.UVLoopWrite:  capture.UVLoopWrite,
	runtimes.NodeDeferred: capture.NodeDeferred, runtimes.NodeSubmit: capture.NodeSubmit, runtimes.NodeDone: capture.NodeDone,
	runtimes.TokioWake:     capture.TokioWake,
	runtimes.TokioSpawn:    capture.TokioSpawn,
	runtimes.HAProxyAccept: capture.HAProxyAccept, runtimes.HAProxyProcess: capture.HAProxyProcess,
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
	case runtimes.Ruby:
		r.Batched, r.Pooled = true, true
	default:
		// If it turns out to have event loops, they have to prove themselves.
		r.Batched = true
	}
	r.TokioTask, r.RubyThread = p.TokioTask, p.RubyThread
	if y := p.Python; y != nil {
		r.Python = capture.PythonRuntime{
			Context: y.Context, TaskContext: y.TaskContext, FutureCallback: y.FutureCallback, CallbackTask: y.CallbackTask, Frames: y.Frames, Key: y.Key,
		}
	}
	if j := p.JVM; j != nil {
		r.Java = capture.JavaRuntime{
			ThreadModule: j.ThreadModule, ThreadOffset: j.ThreadOffset, Collections: j.Collections, Collecting: j.Collecting, CallStub: j.CallStub,
			HeapStart: j.HeapStart, HeapEnd: j.HeapEnd, OopBase: j.OopBase, OopShift: j.OopShift, Wide: j.Wide,
			TLABStart: j.TLABStart, TLABTop: j.TLABTop, TLABEnd: j.TLABEnd,
			ThreadObject: j.ThreadObject, ThreadHandle: j.ThreadHandle,
			ClassBase: j.ClassBase, ClassShift: j.ClassShift, Supers: j.Supers, FutureTask: j.FutureTask, Runner: j.Runner, Waiters: j.Waiters, Waiter: j.Waiter,
			Writer: j.Writer, WriterTube: j.WriterTube, TubeChannel: j.TubeChannel, ChannelDescriptor: j.ChannelDescriptor,
		}
		for i, s := range j.Steps {
			r.Java.Steps[i] = [2]uint32{s.Class, s.Offset}
		}
	}
	if len(p.StaticData) > 0 {
		r.StaticStart, r.StaticSize = p.StaticData[0].Start, p.StaticData[0].End-p.StaticData[0].Start
	}
	return r, true
}
