// SPDX-License-Identifier: Apache-2.0

//go:build linux

package capture

import (
	"fmt"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// maxFunctions bounds the places in files that are watched: there is one for each
// function and version of a library on the host.
const maxFunctions = 256

// Function of a program or library that tells what the processes which run it
// do. The values are those of the program that is attached.
type Function string

const (
	PythonTaskInit  Function = "python_task_init"
	PythonSetResult Function = "python_set_result"
	PythonPut       Function = "python_put"
	UVLoopWrite     Function = "uvloop_write"
	NodeDeferred    Function = "node_deferred"
	NodeSubmit      Function = "node_submit"
	NodeDone        Function = "node_done"
	TokioWake       Function = "tokio_wake"
	TokioSpawn      Function = "tokio_spawn"
	HAProxyAccept   Function = "haproxy_accept"
	HAProxyProcess  Function = "haproxy_process"
)

// place is one in a file, whatever it is called.
type place struct {
	device, inode, offset uint64
}

// Watch attaches to a function, at an offset in the file that path names. All
// processes that run it are hit, once for every file. It stays until Detach.
func (p *Probes) Watch(f Function, path string, offset uint64) error {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return fmt.Errorf("stat %s: %w", path, err)
	}
	at := place{uint64(stat.Dev), stat.Ino, offset}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.detached || p.functions[at] {
		return nil
	}
	if len(p.functions) >= maxFunctions {
		return fmt.Errorf("watch %s in %s: %d functions are watched already", f, path, maxFunctions)
	}
	// Also if it fails: it would fail again.
	p.functions[at] = true
	file, err := link.OpenExecutable(path)
	if err != nil {
		return fmt.Errorf("watch %s: %w", f, err)
	}
	var l link.Link
	if p.multi {
		l, err = file.UprobeMulti(nil, p.coll.Programs[string(f)], &link.UprobeMultiOptions{Addresses: []uint64{offset}})
	} else {
		l, err = file.Uprobe("", p.coll.Programs[string(f)], &link.UprobeOptions{Address: offset})
	}
	if err != nil {
		return fmt.Errorf("watch %s in %s: %w", f, path, err)
	}
	p.links = append(p.links, l)
	return nil
}
