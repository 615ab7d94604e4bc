// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxFile bounds what is read of one file. A JVM's command line (the
	// class path comes before the main class) and its environment may each
	// reach 128 KiB per string (MAX_ARG_STRLEN); everything else is small.
	maxFile = 512 << 10
	// maxTable bounds socket tables and mountinfo.
	maxTable = 8 << 20
)

// FS is a mounted proc filesystem. The zero value reads /proc.
type FS struct {
	// Root is the mount point, without a trailing slash. It has to show the
	// pid namespace that process ids are given in.
	Root string
}

func (fs FS) root() string {
	if fs.Root == "" {
		return "/proc"
	}
	return fs.Root
}

// Path is the path of a file in the directory of a process.
func (fs FS) Path(pid uint32, name string) string {
	return fs.root() + "/" + strconv.FormatUint(uint64(pid), 10) + "/" + name
}

// PIDs are the ids of all processes (thread groups), ascending as the kernel
// lists them.
func (fs FS) PIDs() []uint32 {
	dir, err := os.Open(fs.root())
	if err != nil {
		return nil
	}
	defer dir.Close()
	// Partial listings are still useful, so the error is not looked at.
	names, _ := dir.Readdirnames(-1)
	pids := make([]uint32, 0, len(names))
	for _, name := range names {
		if pid, ok := parsePID(name); ok {
			pids = append(pids, pid)
		}
	}
	return pids
}

func parsePID(s string) (uint32, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n > 0
}

// Stat is the part of /proc/PID/stat that identifies a process; proc_pid_stat(5).
type Stat struct {
	PID, PPID uint32
	// Comm is at most 15 bytes.
	Comm  string
	State byte
	// Exiting: it has begun to exit, and may go on running for a moment.
	Exiting bool
	// StartTime is in clock ticks since boot. A pid and its start time
	// together are never reused.
	StartTime uint64
	// StartCode and StartStack are addresses fixed by execve. A child that
	// has its parent's was forked and has not executed anything since:
	// address space randomisation gives every execve new ones. They read 0
	// without ptrace access to the process.
	StartCode, StartStack uint64
}

// Zombie reports whether the process has exited and waits for its parent.
func (s Stat) Zombie() bool { return s.State == 'Z' || s.State == 'X' }

// ForkOf reports whether s runs the very image of parent (fork without exec).
func (s Stat) ForkOf(parent Stat) bool {
	return s.StartStack != 0 && s.StartStack == parent.StartStack && s.StartCode == parent.StartCode
}

// Alive reports whether a process has yet to exit.
func (fs FS) Alive(pid uint32) bool {
	stat, ok := fs.Stat(pid)
	return ok && !stat.Zombie() && !stat.Exiting
}

// Stat reads /proc/PID/stat; ok is false if there is no such process.
func (fs FS) Stat(pid uint32) (stat Stat, ok bool) {
	readInto(fs.Path(pid, "stat"), maxFile, func(b []byte) {
		stat, ok = parseStat(b)
	})
	return stat, ok
}

func parseStat(b []byte) (Stat, bool) {
	// comm may contain spaces and parentheses; the last one ends it.
	text := string(b)
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 1 || end < open {
		return Stat{}, false
	}
	pid, ok := parsePID(strings.TrimSpace(text[:open]))
	if !ok {
		return Stat{}, false
	}
	s := Stat{PID: pid, Comm: text[open+1 : end]}
	rest := strings.TrimSuffix(text[end+1:], "\n")
	// Fields are numbered as in the manual page; the next one is 3.
	for field := 3; field <= 28; field++ {
		var value string
		value, rest, _ = strings.Cut(strings.TrimPrefix(rest, " "), " ")
		switch field {
		case 3:
			if value != "" {
				s.State = value[0]
			}
		case 4:
			n, _ := strconv.ParseUint(value, 10, 32)
			s.PPID = uint32(n)
		case 9:
			const exiting = 0x4 // PF_EXITING
			n, _ := strconv.ParseUint(value, 10, 32)
			s.Exiting = n&exiting != 0
		case 22:
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return Stat{}, false
			}
			s.StartTime = n
		case 26:
			s.StartCode, _ = strconv.ParseUint(value, 10, 64)
		case 28:
			s.StartStack, _ = strconv.ParseUint(value, 10, 64)
		}
	}
	return s, true
}

// Uptime is the time since boot that start times count from, to 10 ms.
func (fs FS) Uptime() (time.Duration, bool) {
	first, _, _ := strings.Cut(read(fs.root()+"/uptime", maxFile), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	return time.Duration(seconds * float64(time.Second)), err == nil
}

// Exe is the path of the executable as the process sees it, without the
// kernel's " (deleted)" mark. Empty for kernel threads and zombies.
func (fs FS) Exe(pid uint32) string {
	return strings.TrimSuffix(readlink(fs.Path(pid, "exe")), " (deleted)")
}

// Cwd is the current directory as the process sees it.
func (fs FS) Cwd(pid uint32) string {
	return strings.TrimSuffix(readlink(fs.Path(pid, "cwd")), " (deleted)")
}

// Namespace is the identity of a namespace ("net", "uts"), such as
// "net:[4026531840]".
func (fs FS) Namespace(pid uint32, name string) string {
	return readlink(fs.Path(pid, "ns/"+name))
}

// Cgroup is the text of /proc/PID/cgroup.
func (fs FS) Cgroup(pid uint32) string { return read(fs.Path(pid, "cgroup"), maxFile) }

// MountInfo is the text of /proc/PID/mountinfo.
func (fs FS) MountInfo(pid uint32) string { return read(fs.Path(pid, "mountinfo"), maxTable) }

// MappedFiles are the paths of the files a process has mapped executable, with the care of
// Image.
func (fs FS) MappedFiles(pid uint32) []string {
	text := within(func() string { return read(fs.Path(pid, "maps"), maxTable) })
	var files []string
	for line := range strings.Lines(text) {
		// start-end perms offset device inode path
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 6)
		if len(fields) < 6 || len(fields[1]) < 3 || fields[1][2] != 'x' {
			continue
		}
		if path := strings.TrimLeft(fields[5], " "); strings.HasPrefix(path, "/") {
			files = append(files, strings.TrimSuffix(path, " (deleted)"))
		}
	}
	return files
}

// Image is what execve was given.
type Image struct {
	// Args is the argument vector, or what the process wrote over it.
	Args []string
	// Env has NAME=value entries as they were at execve.
	Env []string
}

// Image reads /proc/PID/cmdline and environ. Both take the process's mmap
// lock, which a page fault on a dead network filesystem can hold for ever, so
// they are waited for only a little while.
func (fs FS) Image(pid uint32) Image {
	return within(func() Image {
		return Image{Args: fs.args(pid), Env: fs.env(pid)}
	})
}

// Args reads /proc/PID/cmdline, with the care of Image.
func (fs FS) Args(pid uint32) []string {
	return within(func() []string { return fs.args(pid) })
}

// Env reads /proc/PID/environ, with the care of Image.
func (fs FS) Env(pid uint32) []string {
	return within(func() []string { return fs.env(pid) })
}

func (fs FS) args(pid uint32) []string {
	// A title written over the arguments is padded with NULs or spaces.
	text := strings.TrimRight(read(fs.Path(pid, "cmdline"), maxFile), "\x00 \n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\x00")
}

func (fs FS) env(pid uint32) []string {
	text := strings.TrimRight(read(fs.Path(pid, "environ"), maxFile), "\x00")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\x00")
}

// NamespacePID is the id of the process in its own, innermost pid namespace;
// 0 if unknown.
func (fs FS) NamespacePID(pid uint32) uint32 {
	_, after, _ := strings.Cut(read(fs.Path(pid, "status"), maxFile), "\nNSpid:")
	line, _, _ := strings.Cut(after, "\n")
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return 0
	}
	inner, _ := parsePID(fields[len(fields)-1])
	return inner
}

// Children are the children of a process's main thread, oldest first. Nil
// also on kernels without CONFIG_PROC_CHILDREN.
func (fs FS) Children(pid uint32) []uint32 {
	id := strconv.FormatUint(uint64(pid), 10)
	var pids []uint32
	for _, field := range strings.Fields(read(fs.Path(pid, "task/"+id+"/children"), maxFile)) {
		if child, ok := parsePID(field); ok {
			pids = append(pids, child)
		}
	}
	return pids
}

// ThreadsChildren are the children of all threads of a process, in no order. Nil also on
// kernels without CONFIG_PROC_CHILDREN.
func (fs FS) ThreadsChildren(pid uint32) []uint32 {
	dir, err := os.Open(fs.Path(pid, "task"))
	if err != nil {
		return nil
	}
	defer dir.Close()
	threads, _ := dir.Readdirnames(-1)
	var pids []uint32
	for _, thread := range threads {
		for field := range strings.FieldsSeq(read(fs.Path(pid, "task/"+thread+"/children"), maxFile)) {
			if child, ok := parsePID(field); ok {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// ReadText reads a small file, such as /etc/machine-id, trimmed.
func ReadText(path string) string { return strings.TrimSpace(read(path, maxFile)) }

// patience is how long Image waits for a process whose memory map is locked.
// A healthy one answers in microseconds.
const patience = 100 * time.Millisecond

// waiting bounds the readers that are stuck on such processes.
var waiting = make(chan struct{}, 32)

// within runs f and returns its result, or the zero value if f takes longer
// than patience. f then finishes on its own.
func within[T any](f func() T) (result T) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case waiting <- struct{}{}:
	case <-timer.C:
		return result
	}
	done := make(chan T, 1)
	go func() {
		defer func() { <-waiting }()
		done <- f()
	}()
	select {
	case result = <-done:
	case <-timer.C:
	}
	return result
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

func read(path string, limit int) (text string) {
	readInto(path, limit, func(b []byte) { text = string(b) })
	return text
}

// readInto passes the content of a file, cut at limit, to use, which must not
// keep it. use is not called if the file cannot be opened. System calls are
// made directly: os.File costs more than the read itself.
func readInto(path string, limit int, use func([]byte)) {
	fd, err := retry(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	})
	if err != nil {
		return
	}
	defer unix.Close(fd)
	pooled := buffers.Get().(*[]byte)
	defer buffers.Put(pooled)
	b, n := *pooled, 0
	for n < limit {
		if n == len(b) {
			grown := make([]byte, 2*len(b))
			copy(grown, b)
			b = grown
		}
		got, err := retry(func() (int, error) { return unix.Read(fd, b[n:]) })
		if err != nil || got <= 0 {
			break
		}
		n += got
	}
	if len(b) <= 64<<10 {
		*pooled = b // the rare giant is left to the garbage collector
	}
	use(b[:min(n, limit)])
}

func readlink(path string) string {
	var b [unix.PathMax]byte
	n, err := retry(func() (int, error) { return unix.Readlink(path, b[:]) })
	if err != nil || n <= 0 {
		return ""
	}
	return string(b[:n])
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}
