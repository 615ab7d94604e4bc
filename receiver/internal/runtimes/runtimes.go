// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"fmt"
	"os"
	"path"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
)

// Process is what is known of a process's runtime.
type Process struct {
	Kind Kind
	// Version of the runtime as it calls itself ("go1.26.8", "3.11"), empty
	// if unknown: only Go and Rust write it into every program, of others it
	// is what the name of the executable or library says.
	Version string
	// Go is nil unless Kind is Go and its layout is known for certain. It is
	// shared by all processes of one program: do not change it.
	Go *GoOffsets
	// StaticData are the ranges of addresses, at most two, that have the
	// static variables of a Python interpreter in this process (whatever its
	// Kind): of the executable and of libpython, the larger first, which is
	// the interpreter's. A futex there is its own lock (the GIL): threads that
	// pass it on do not pass on work.
	StaticData []Range
	// Python is nil unless there is a CPython whose layout is known for certain.
	Python *Interpreter
	// TokioTask is where a thread of a Rust program has the number of its current
	// tokio task, relative to the thread pointer; 0 if unknown.
	TokioTask int32
	// RubyThread is the address of the tls_index (module and offset) of a Ruby thread's
	// current execution context; 0 if unknown.
	RubyThread uint64
	// JVM is nil unless there is a HotSpot whose layout is known for certain.
	JVM *JVM
	// Functions are to be watched; more of them when more has been loaded.
	Functions []Function
}

// Range of addresses, [Start, End).
type Range struct{ Start, End uint64 }

// Examiner looks at processes. It is safe for concurrent use.
type Examiner struct {
	fs procfs.FS

	mu      sync.Mutex
	images  map[fileID]*image
	modules map[fileID]*image // files with functions to be watched
}

// maxImages bounds what is remembered of executables, a few hundred bytes
// each. Beyond, all is forgotten: it only spares work.
const maxImages, maxModules = 4096, 256

// NewExaminer makes an Examiner of the processes that fs shows.
func NewExaminer(fs procfs.FS) *Examiner {
	return &Examiner{fs: fs, images: make(map[fileID]*image), modules: make(map[fileID]*image)}
}

// fileID tells files and their contents apart. The change time is in it
// because the modification time can be set to anything.
type fileID struct {
	device, inode  uint64
	size           int64
	mtime, changed unix.Timespec
}

// image is what a file tells.
type image struct {
	once sync.Once
	tale any
	err  error
}

// Examine looks at a running process. It reads the executable the first time
// it sees it (tens of milliseconds for a large one), otherwise a few small
// files, so it may block as long as their file system does. An error means
// that the process, its executable or its memory map could not be read, often
// because it has exited; what it returns besides is not to be relied on.
func (e *Examiner) Examine(pid uint32) (Process, error) {
	p, exe, err := e.executable(pid)
	if err != nil || p.Kind == Go {
		return p, err
	}
	switch p.Kind {
	case Node, HAProxy:
		p.Functions = e.functions(pid, exe)
		return p, nil
	case Native, Rust, Python, Ruby, Apache, Java:
	default:
		return p, nil
	}
	m, err := e.mappings(pid, exe, p.Kind == Python)
	if err != nil {
		return Process{}, fmt.Errorf("memory map of process %d: %w", pid, err)
	}
	switch {
	case p.Kind == Native || p.Kind == Rust:
		if m.kind != Unknown {
			p.Kind, p.Version = m.kind, m.version
		}
	case p.Kind == m.kind && p.Version == "":
		p.Version = m.version
	}
	p.StaticData = m.static
	if p.Kind == Rust {
		if o := e.object(pid, exe); o != nil && o.tokioTask != 0 {
			p.TokioTask, p.Functions = o.tokioTask, e.functions(pid, exe)
		}
	}
	if p.Kind == Ruby {
		p.RubyThread = e.ruby(pid, exe, m.modules)
	}
	if p.Kind == Java {
		p.JVM = e.jvm(pid, m.modules)
	}
	if p.Kind == Python {
		p.Python, p.Functions = e.python(pid, m.modules)
	}
	return p, nil
}

// Kind is that of a running process, without what else Examine finds; Unknown if it
// cannot be told.
func (e *Examiner) Kind(pid uint32) Kind {
	p, exe, err := e.executable(pid)
	if err != nil {
		return Unknown
	}
	if p.Kind != Native && p.Kind != Rust {
		return p.Kind
	}
	// A library may have brought another one.
	m, err := e.mappings(pid, exe, false)
	if err != nil {
		return Unknown
	}
	if m.kind != Unknown {
		return m.kind
	}
	return p.Kind
}

// executable is what a process's executable tells, and its path.
func (e *Examiner) executable(pid uint32) (p Process, exe string, err error) {
	f, err := os.Open(e.fs.Path(pid, "exe"))
	if err != nil {
		return Process{}, "", fmt.Errorf("open executable: %w", err)
	}
	defer f.Close()
	if p, err = e.image(f); err != nil {
		return Process{}, "", fmt.Errorf("executable of process %d: %w", pid, err)
	}
	if p.Kind == Go {
		return p, "", nil
	}
	exe = e.fs.Exe(pid)
	if kind, version := kindOfExecutable(path.Base(exe)); kind != Unknown {
		p = Process{Kind: kind, Version: version}
	}
	return p, exe, nil
}

// image is what an open executable tells, from memory if it was seen before.
func (e *Examiner) image(f *os.File) (Process, error) {
	p, err := e.remember(f, e.images, maxImages, func(f *os.File) (any, error) { return readExecutable(f) })
	if err != nil {
		return Process{}, err
	}
	return p.(Process), nil
}

// remember is what read tells of a file, once for all that ask, unless it fails.
// limit bounds what is remembered.
func (e *Examiner) remember(f *os.File, all map[fileID]*image, limit int, read func(*os.File) (any, error)) (any, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return nil, fmt.Errorf("stat: %w", err)
	}
	id := fileID{uint64(stat.Dev), stat.Ino, stat.Size, stat.Mtim, stat.Ctim}
	e.mu.Lock()
	i := all[id]
	if i == nil {
		if len(all) >= limit {
			clear(all)
		}
		i = &image{}
		all[id] = i
	}
	e.mu.Unlock()
	i.once.Do(func() {
		i.tale, i.err = read(f)
		if i.err != nil {
			e.mu.Lock()
			defer e.mu.Unlock()
			if all[id] == i {
				delete(all, id) // it may be readable the next time
			}
		}
	})
	return i.tale, i.err
}
