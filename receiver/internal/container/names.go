// SPDX-License-Identifier: Apache-2.0

package container

import (
	"strings"
	"sync"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
)

// Names is what the runtime that started a container calls it. What is not known
// is empty.
type Names struct {
	// Container is the container's name: in Kubernetes that in its pod, else
	// what Docker, Podman or nerdctl show. Empty for a pod's sandbox.
	Container string
	// Pod, Namespace and UID of the Kubernetes pod. UID of a static pod is a
	// hash that the API server knows as an annotation only.
	Pod, Namespace, UID string
}

const (
	// maxNames bounds the containers that are remembered.
	maxNames = 4096
	// retry is how long it is believed that a container has no name: its
	// runtime may have been out of reach.
	retry = 30 * time.Second
	// maxAncestors bounds walks up the process tree.
	maxAncestors = 64
)

// Finder finds the names of containers. The runtime's process that watches over a
// container is an ancestor of whatever runs in it: conmon (Podman, CRI-O) has the
// name among its arguments, and containerd's shim (Kubernetes, Docker, nerdctl)
// works in the directory of the OCI bundle, whose config.json has annotations
// with the names. So it takes no daemon, socket, or knowledge of where a
// distribution keeps its state; reading it needs what reading /proc of other users
// needs (CAP_SYS_PTRACE), and CAP_DAC_READ_SEARCH if we are not root.
//
// Safe for concurrent use.
type Finder struct {
	fs  procfs.FS
	now func() time.Time

	mu    sync.Mutex
	known map[string]found
}

type found struct {
	names Names
	until time.Time // zero: for ever
}

// NewFinder returns a Finder of a proc filesystem that shows the host's pid
// namespace.
func NewFinder(fs procfs.FS) *Finder {
	return &Finder{fs: fs, now: time.Now, known: map[string]found{}}
}

// Place is where a process lives.
func (f *Finder) Place(pid uint32) Place { return Parse(f.fs.Cgroup(pid)) }

// Names of the container that a process is in, by the container's id as Place has
// it. The first call for a container reads /proc for each ancestor of the process
// and one file of some 10 KiB; the result is remembered.
func (f *Finder) Names(pid uint32, id string) Names {
	if id == "" {
		return Names{}
	}
	now := f.now()
	f.mu.Lock()
	known, ok := f.known[id]
	f.mu.Unlock()
	if ok && (known.until.IsZero() || now.Before(known.until)) {
		return known.names
	}
	names := f.look(pid, id)
	known = found{names: names}
	if names == (Names{}) {
		known.until = now.Add(retry)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.known) >= maxNames {
		clear(f.known) // only spares work
	}
	f.known[id] = known
	return names
}

// look asks each ancestor outside of the container whether it is the container's
// runtime.
func (f *Finder) look(pid uint32, id string) Names {
	for range maxAncestors {
		stat, ok := f.fs.Stat(pid)
		if !ok || stat.PPID == 0 || stat.PPID == pid {
			break
		}
		pid = stat.PPID
		if f.Place(pid).ID == id {
			continue
		}
		args := f.fs.Args(pid)
		if len(args) == 0 {
			continue // a kernel thread, or gone
		}
		// The arguments may begin with a path; a title would have replaced
		// them all.
		switch program := args[0][strings.LastIndexByte(args[0], '/')+1:]; {
		case program == "conmon":
			if names, ok := f.ofConmon(pid, args, id); ok {
				return names
			}
		case strings.Contains(program, "containerd-shim"):
			if names, ok := f.ofShim(pid, id); ok {
				return names
			}
		}
	}
	return Names{}
}

// ofConmon reads the arguments of conmon(8): -c ID, -n NAME, -b BUNDLE. CRI-O's
// names have the attempt and uid in them, its annotations do not.
func (f *Finder) ofConmon(pid uint32, args []string, id string) (names Names, ok bool) {
	var bundle string
	for i, arg := range args[:len(args)-1] {
		value := args[i+1]
		switch arg {
		case "-c", "--cid":
			ok = ok || value == id
		case "-n", "--name":
			if names.Container == "" {
				names.Container = value
			}
		case "-b", "--bundle":
			if bundle == "" {
				bundle = value
			}
		}
	}
	if !ok {
		return Names{}, false
	}
	if c := readConfig(f.fs.Path(pid, "root"), bundle); c.kubernetes() {
		names = c.names()
	}
	return names, true
}

// ofShim reads the configuration of a container that a shim of containerd's
// watches: one shim may serve all containers of a pod, so its working directory is
// the bundle of one of them, and the others are beside it.
func (f *Finder) ofShim(pid uint32, id string) (Names, bool) {
	c := readConfig(f.fs.Path(pid, "cwd"), "../"+id)
	if !c.read {
		return Names{}, false
	}
	names := c.names()
	if names == (Names{}) {
		names = readDocker(f.fs.Path(pid, "root"), c.dockerDirectory(id))
	}
	return names, true
}
