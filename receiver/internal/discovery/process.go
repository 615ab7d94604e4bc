// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"slices"
	"sync"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/runtimes"
)

// Process is what rules look at. The functions are called at most once per
// rule that needs them and may be nil.
type Process struct {
	PID uint32
	// Exe is the path of the executable as the process sees it.
	Exe string
	// Cmdline is the argument vector.
	Cmdline []string
	// Environ returns NAME=value entries.
	Environ func() []string
	// ListeningPorts returns the TCP ports the process listens on.
	ListeningPorts func() []uint16
	// Language returns the runtime it has, as far as that shows by now.
	Language func() runtimes.Kind
	// Place returns the pod and container it runs in.
	Place func() Place
}

func (p *Process) language() runtimes.Kind {
	if p.Language == nil {
		return runtimes.Unknown
	}
	return p.Language()
}

func (p *Process) place() Place {
	if p.Place == nil {
		return Place{}
	}
	return p.Place()
}

func (p *Process) environ() []string {
	if p.Environ == nil {
		return nil
	}
	return p.Environ()
}

func (p *Process) listeningPorts() []uint16 {
	if p.ListeningPorts == nil {
		return nil
	}
	return p.ListeningPorts()
}

// Scan lists the processes that exist now.
func Scan(procRoot string) []uint32 { return procfs.FS{Root: procRoot}.PIDs() }

// tableLifetime is how long the listening sockets of a network namespace are
// trusted: long enough for a scan of all processes to read them once.
const tableLifetime = time.Second

// Scanner reads processes for a Matcher. It is safe for concurrent use.
type Scanner struct {
	fs procfs.FS

	mu     sync.Mutex
	tables map[string]socketTable // by network namespace
}

type socketTable struct {
	ports map[uint64]uint16 // by socket inode; never changed
	read  time.Time
}

// NewScanner returns a Scanner of the proc filesystem mounted at procRoot.
func NewScanner(procRoot string) *Scanner {
	return &Scanner{fs: procfs.FS{Root: procRoot}, tables: map[string]socketTable{}}
}

// Process reads a process. One that is gone matches no rule but pids.
func (s *Scanner) Process(pid uint32) *Process {
	return &Process{
		PID:            pid,
		Exe:            s.fs.Exe(pid),
		Cmdline:        s.fs.Args(pid),
		Environ:        sync.OnceValue(func() []string { return s.fs.Env(pid) }),
		ListeningPorts: sync.OnceValue(func() []uint16 { return s.ListeningPorts(pid) }),
	}
}

// Parent is the process id of a process's parent; 0 if it is gone.
func (s *Scanner) Parent(pid uint32) uint32 {
	stat, _ := s.fs.Stat(pid)
	return stat.PPID
}

// Exists reports whether there is such a process.
func (s *Scanner) Exists(pid uint32) bool {
	_, ok := s.fs.Stat(pid)
	return ok
}

// Alive reports whether a process has yet to exit.
func (s *Scanner) Alive(pid uint32) bool { return s.fs.Alive(pid) }

// Children are a process's.
func (s *Scanner) Children(pid uint32) []uint32 { return s.fs.ThreadsChildren(pid) }

// ForkedBy is the parent of a process that has executed nothing since it was forked; 0
// if it has, or nobody can tell any more.
func (s *Scanner) ForkedBy(pid uint32) uint32 {
	child, ok := s.fs.Stat(pid)
	if !ok || child.PPID == 0 {
		return 0
	}
	// A parent that is younger than its child has somebody else's id.
	parent, ok := s.fs.Stat(child.PPID)
	if !ok || parent.StartTime > child.StartTime || !child.ForkOf(parent) {
		return 0
	}
	return child.PPID
}

// ListeningPorts are the TCP ports a process listens on, ascending. They are
// found in its own network namespace, so containers need no special care.
func (s *Scanner) ListeningPorts(pid uint32) []uint16 {
	table := s.table(pid)
	if len(table) == 0 {
		return nil // saves the walk over the descriptors
	}
	var ports []uint16
	s.fs.Sockets(pid, func(inode uint64) bool {
		if port, ok := table[inode]; ok {
			ports = append(ports, port)
		}
		return true
	})
	slices.Sort(ports)
	return slices.Compact(ports)
}

// Listens tells that a process has begun to listen on a port: what is remembered of its
// network namespace is out of date.
func (s *Scanner) Listens(pid uint32) {
	namespace := s.fs.Namespace(pid, "net")
	s.mu.Lock()
	delete(s.tables, namespace)
	s.mu.Unlock()
}

func (s *Scanner) table(pid uint32) map[uint64]uint16 {
	namespace := s.fs.Namespace(pid, "net")
	if namespace == "" {
		return nil
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.tables[namespace]; ok && now.Sub(t.read) < tableLifetime {
		return t.ports
	}
	for name, t := range s.tables { // namespaces come and go
		if now.Sub(t.read) >= tableLifetime {
			delete(s.tables, name)
		}
	}
	ports := s.fs.ListeningSockets(pid)
	s.tables[namespace] = socketTable{ports: ports, read: now}
	return ports
}
