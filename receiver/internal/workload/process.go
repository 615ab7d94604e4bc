// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strconv"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/container"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
)

// process is what /proc says about a process, read as far as needed.
type process struct {
	procfs.Stat
	exe string
	// args and env are read with image, args alone with arguments.
	args, env []string
	hasArgs   bool

	where    container.Place
	hasPlace bool
}

// image identifies what a process runs: execve keeps pid and start time.
func (p *process) image() string {
	b := strconv.AppendUint(nil, uint64(p.PID), 10)
	b = strconv.AppendUint(append(b, '/'), p.StartTime, 10)
	b = strconv.AppendUint(append(b, '/'), p.StartStack, 16)
	return string(b) + p.exe
}

// finding is the result of examining a process.
type finding struct {
	process
	identity identity
	decision discovery.Decision
	// gone: it has exited, or was never there.
	gone bool
}

// maxAncestors bounds walks up the process tree, against loops that a changing
// /proc could show.
const maxAncestors = 64

// open reads what is cheap; nil if there is no such process.
func (r *Registry) open(pid uint32) *process {
	stat, ok := r.fs.Stat(pid)
	if !ok {
		return nil
	}
	return &process{Stat: stat, exe: r.fs.Exe(pid)}
}

func (r *Registry) readPlace(p *process) container.Place {
	if !p.hasPlace {
		p.where, p.hasPlace = r.containers.Place(p.PID), true
	}
	return p.where
}

func (r *Registry) readArgs(p *process) []string {
	if !p.hasArgs {
		p.args, p.hasArgs = r.fs.Args(p.PID), true
	}
	return p.args
}

func (r *Registry) readImage(p *process) {
	image := r.fs.Image(p.PID)
	p.args, p.hasArgs, p.env = image.Args, true, image.Env
}

// program describes p for naming.
func (r *Registry) program(p *process) program {
	return program{
		exe:  p.exe,
		comm: p.Comm,
		args: r.readArgs(p),
		cwd:  func() string { return r.fs.Cwd(p.PID) },
		env: func() []string {
			if p.env == nil {
				p.env = r.fs.Env(p.PID)
			}
			return p.env
		},
	}
}

// family is the topmost ancestor that runs the same program: the master of
// prefork workers.
func (r *Registry) family(p *process) *process {
	top := p
	for range maxAncestors {
		if top.PPID == 0 || top.PPID == top.PID {
			break
		}
		parent := r.open(top.PPID)
		// A parent younger than its child is a reused pid.
		if parent == nil || parent.StartTime > top.StartTime || !r.sameProgram(top, parent) {
			break
		}
		top = parent
	}
	return top
}

func (r *Registry) sameProgram(child, parent *process) bool {
	if child.exe == "" || parent.exe == "" {
		// Exiting, or not ours to look at: the name is left to go by.
		return child.exe == "" && child.Comm == parent.Comm && child.PPID > 2 // 2 is kthreadd
	}
	if child.exe != parent.exe {
		return false
	}
	if child.ForkOf(parent.Stat) {
		return true
	}
	// The executable says nothing about what an interpreter, or one binary
	// with many names, runs.
	c := r.program(child)
	if !c.ambiguous() {
		return true
	}
	if c.spawnedWorker() {
		return true
	}
	name, certain := c.name()
	if !certain {
		return false
	}
	parentName, certain := r.program(parent).name()
	return certain && name == parentName
}

// containerMain is the process that a container is there for: its init, or
// what a shell or an init shim starts first.
func (r *Registry) containerMain(p *process) *process {
	id := r.readPlace(p).ID
	inside := func(pid uint32) *process {
		if c := r.open(pid); c != nil && !c.Zombie() && r.readPlace(c).ID == id {
			return c
		}
		return nil
	}
	top := p
	for range maxAncestors {
		parent := inside(top.PPID)
		if parent == nil || parent.StartTime > top.StartTime {
			break
		}
		top = parent
	}
	// What is executed into a container (a health check) has its parent
	// outside.
	var members []*process
	if r.fs.NamespacePID(top.PID) != 1 {
		members = r.containerMembers(inside)
		for _, m := range members {
			if m.StartTime < top.StartTime || m.StartTime == top.StartTime && m.PID < top.PID {
				top = m
			}
		}
	}
	for range maxAncestors {
		if !r.program(top).wrapper() {
			break
		}
		child := r.firstChild(top, inside, members)
		if child == nil {
			break
		}
		top = child
	}
	return top
}

func (r *Registry) containerMembers(inside func(uint32) *process) []*process {
	var members []*process
	for _, pid := range r.fs.PIDs() {
		if m := inside(pid); m != nil {
			members = append(members, m)
		}
	}
	return members
}

func (r *Registry) firstChild(p *process, inside func(uint32) *process, members []*process) *process {
	for _, pid := range r.fs.Children(p.PID) { // oldest first
		if c := inside(pid); c != nil && c.PPID == p.PID {
			return c
		}
	}
	var first *process
	for _, m := range members {
		if m.PPID == p.PID && (first == nil || m.StartTime < first.StartTime) {
			first = m
		}
	}
	return first
}

// isUnitMain reports whether systemd itself started p for its unit.
func (r *Registry) isUnitMain(p *process) bool {
	parent := r.open(p.PPID)
	return parent == nil || r.readPlace(parent).UnitPath != r.readPlace(p).UnitPath
}
