// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/capture"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery"
)

// runtimes tells the kernel how processes work. Until it is told, nothing a
// process sends has a parent in it.
type runtimes struct {
	set   func(pid uint32, r capture.Runtime) error
	queue chan uint32
	done  sync.WaitGroup
}

func newRuntimes(set func(uint32, capture.Runtime) error) *runtimes {
	r := &runtimes{set: set, queue: make(chan uint32, 4096)}
	for _, pid := range discovery.Scan("/proc") {
		r.examine(pid)
	}
	r.done.Go(func() {
		for pid := range r.queue {
			r.examine(pid)
		}
	})
	return r
}

// executed is told that a process runs another program now.
func (r *runtimes) executed(pid uint32) {
	select {
	case r.queue <- pid:
	default:
	}
}

func (r *runtimes) stop() {
	close(r.queue)
	r.done.Wait()
}

func (r *runtimes) examine(pid uint32) {
	exe := fmt.Sprintf("/proc/%d/exe", pid)
	name, err := os.Readlink(exe)
	if err != nil {
		return
	}
	var rt capture.Runtime
	base := filepath.Base(name)
	switch {
	case strings.HasPrefix(base, "node"), strings.HasPrefix(base, "nginx"):
		rt.EventLoop = true
	case strings.HasPrefix(base, "haproxy"):
		rt.EventLoop = true
	case strings.HasPrefix(base, "python"):
		rt.StaticStart, rt.StaticSize = static(pid)
	default:
		if info, err := buildinfo.ReadFile(exe); err == nil && strings.HasPrefix(info.GoVersion, "go1.26") {
			rt.Go = &capture.GoRuntime{GoID: 152, ParentGoID: 280, StackHi: 8, ChanRecvQ: 64, SudogC: 96}
		}
	}
	_ = r.set(pid, rt)
}

func static(pid uint32) (start, size uint64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	var from, to uint64
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		var lo, hi uint64
		if _, err := fmt.Sscanf(f[0], "%x-%x", &lo, &hi); err != nil {
			continue
		}
		switch {
		case len(f) > 5 && strings.Contains(f[5], "python") && strings.HasPrefix(f[1], "rw"):
			from, to = lo, hi
		case len(f) == 5 && lo == to && to != 0:
			to = hi
		}
		if from != 0 && to-from > size && strings.Contains(line, "rw") {
			start, size = from, to-from
		}
		if lo > to {
			from, to = 0, 0
		}
	}
	return start, size
}
