// SPDX-License-Identifier: Apache-2.0

//go:build linux

package capture

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// A socket in a sockhash has other functions than before. Kernels that have
// "bpf, sockmap: Fix FIONREAD for sockmap" (929e30f93125: v6.6.128, v6.12.75,
// v6.18.14, v6.19) count only bytes for it that a BPF program has redirected, so
// ioctl(FIONREAD) says 0 while there is something to read, and who sizes its reads
// by that (nginx, Java) waits forever. There, only the sockets of programs stay in
// the sockhash that do not ask: see residents.

// passAll makes a sockhash whose program changes nothing, and a pair of connected
// sockets of which the client's is in it.
func passAll() (client, server *net.TCPConn, done func(), err error) {
	var closers []io.Closer
	done = func() {
		for i := len(closers) - 1; i >= 0; i-- {
			_ = closers[i].Close()
		}
	}
	defer func() {
		if err != nil {
			done()
		}
	}()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "try_sockets", Type: ebpf.SockHash, KeySize: 8, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		return nil, nil, done, fmt.Errorf("create sockhash: %w", err)
	}
	closers = append(closers, m)
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "try_message", Type: ebpf.SkMsg, AttachType: ebpf.AttachSkMsgVerdict, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()},
	})
	if err != nil {
		return nil, nil, done, fmt.Errorf("load program for sent messages: %w", err)
	}
	closers = append(closers, prog)
	if err = link.RawAttachProgram(link.RawAttachProgramOptions{Target: m.FD(), Program: prog, Attach: ebpf.AttachSkMsgVerdict}); err != nil {
		return nil, nil, done, fmt.Errorf("attach program for sent messages: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, done, err
	}
	closers = append(closers, l)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, nil, done, err
	}
	closers = append(closers, c)
	s, err := l.Accept()
	if err != nil {
		return nil, nil, done, err
	}
	closers = append(closers, s)
	client, server = c.(*net.TCPConn), s.(*net.TCPConn)
	raw, err := client.SyscallConn()
	if err != nil {
		return nil, nil, done, err
	}
	var put error
	if err = raw.Control(func(fd uintptr) { put = m.Put(uint64(1), uint64(fd)) }); err == nil {
		err = put
	}
	if err != nil {
		return nil, nil, done, fmt.Errorf("add a socket to a sockhash: %w", err)
	}
	return client, server, done, nil
}

// sockmapWorks reports why sockets cannot be put into a sockhash.
func sockmapWorks() error {
	_, _, done, err := passAll()
	done()
	return err
}

// fionreadWorks reports whether ioctl(FIONREAD) of a socket in a sockhash says how
// much there is to read. Any doubt is a no.
func fionreadWorks() bool {
	client, server, done, err := passAll()
	defer done()
	if err != nil {
		return false
	}
	const sent = "0123456789"
	if _, err := io.WriteString(server, sent); err != nil {
		return false
	}
	raw, err := client.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	_ = client.SetReadDeadline(time.Now().Add(time.Second))
	err = raw.Read(func(fd uintptr) bool {
		// Is it there? Then the ioctl has to know.
		var b [len(sent)]byte
		got, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if err != nil {
			return !errors.Is(err, unix.EAGAIN)
		}
		if n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ); err != nil || n > got {
			n = 0
		}
		return true
	})
	return err == nil && n > 0
}

// residents tells the kernel which processes' programs do not ask FIONREAD: those
// in whose code no instruction has the number of that ioctl. A new process is looked
// at once its libraries are there, and now and then later, for more.
type residents struct {
	processes *ebpf.Map
	programs  *ebpf.Map
	queue     chan uint32
	stop      chan struct{}
	done      sync.WaitGroup

	watched map[uint32]*resident
	files   map[fileID]bool // whether it asks
	asking  map[program]bool
}

// program is the key of the map programs: the inode and the device of an executable
// as the kernel has them.
type program struct{ inode, device uint64 }

type resident struct {
	started string // as /proc/PID/stat has it
	due     time.Time
	looks   int
}

type fileID struct {
	dev, ino uint64
	mtime    int64
	size     int64
}

const (
	maxResidents     = 4096
	maxResidentFiles = 4096
	// The dynamic loader and the first imports are done by then.
	residentSettle = 2 * time.Second
	residentAgain  = 30 * time.Second
)

func newResidents() *residents {
	return &residents{
		queue: make(chan uint32, 1024), stop: make(chan struct{}),
		watched: map[uint32]*resident{}, files: map[fileID]bool{}, asking: map[program]bool{},
	}
}

func (r *residents) start(processes, programs *ebpf.Map) {
	r.processes, r.programs = processes, programs
	r.done.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-r.stop:
				return
			case pid := <-r.queue:
				r.watch(pid)
			case now := <-ticker.C:
				r.look(now)
			}
		}
	})
}

// executed is told of every process that runs another program now, and at the start
// of every process there is.
func (r *residents) executed(pid uint32) {
	if r == nil {
		return
	}
	select {
	case r.queue <- pid:
	default: // its sockets do not stay then
	}
}

func (r *residents) close() {
	if r == nil || r.processes == nil {
		return
	}
	close(r.stop)
	r.done.Wait()
	r.processes = nil
}

func (r *residents) watch(pid uint32) {
	r.forget(pid)
	started, age := processStart(pid)
	if started == "" || len(r.watched) >= maxResidents {
		return
	}
	w := &resident{started: started, due: time.Now().Add(residentSettle - age)}
	r.watched[pid] = w
	r.lookAt(pid, w, time.Now())
}

func (r *residents) look(now time.Time) {
	for pid, w := range r.watched {
		r.lookAt(pid, w, now)
	}
}

func (r *residents) lookAt(pid uint32, w *resident, now time.Time) {
	if now.Before(w.due) {
		return
	}
	if started, _ := processStart(pid); started != w.started {
		r.forget(pid)
		return
	}
	w.looks++
	w.due = now.Add(min(residentSettle<<w.looks, residentAgain))
	exe, ok := executable(pid)
	if r.asks(pid) {
		r.forget(pid)
		if ok && len(r.asking) < maxResidentFiles {
			r.asking[exe] = true
			_ = r.programs.Delete(exe)
		}
		return
	}
	_ = r.processes.Put(pid, uint32(1))
	if ok && !r.asking[exe] && len(r.asking) < maxResidentFiles {
		_ = r.programs.Put(exe, uint32(1))
	}
}

func (r *residents) forget(pid uint32) {
	_ = r.processes.Delete(pid)
	delete(r.watched, pid)
}

// executable is the file that a process executes.
func executable(pid uint32) (program, bool) {
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/exe", pid), &st); err != nil {
		return program{}, false
	}
	// MKDEV of include/linux/kdev_t.h
	return program{st.Ino, uint64(unix.Major(st.Dev))<<20 | uint64(unix.Minor(st.Dev))}, true
}

// processStart is when a process began, in a form that is only compared, and how
// long ago that is; empty if there is no such process.
func processStart(pid uint32) (started string, age time.Duration) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	// The name in parentheses may have anything in it; starttime is field 22.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return "", 0
	}
	var ticks int64
	var up unix.Timespec
	if _, err := fmt.Sscan(fields[19], &ticks); err != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return fields[19], 0
	}
	const ticksPerSecond = 100 // USER_HZ on amd64 and arm64
	return fields[19], time.Duration(up.Nano()) - time.Duration(ticks)*time.Second/ticksPerSecond
}

// asks reports whether a process may ask FIONREAD: any file that it executes code
// of does, or cannot be read.
func (r *residents) asks(pid uint32) bool {
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return true
	}
	defer f.Close()
	seen := map[string]bool{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// address perms offset dev inode path
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || len(fields[1]) < 3 || fields[1][2] != 'x' || fields[5][0] != '/' || seen[fields[5]] {
			continue
		}
		seen[fields[5]] = true
		if harmless(fields[5]) {
			continue
		}
		if r.fileAsks(fmt.Sprintf("/proc/%d/map_files/%s", pid, fields[0]), fmt.Sprintf("/proc/%d/root%s", pid, fields[5])) {
			return true
		}
	}
	return len(seen) == 0
}

// harmlessFiles ask about other things than sockets, by the beginnings of their
// names: C libraries about files, and in an old RPC.
var harmlessFiles = []string{"libc.so.", "libc-2.", "ld-musl-", "libc.musl-", "libstdc++.so.", "libsystemd.so."}

func harmless(path string) bool {
	name := path[strings.LastIndexByte(path, '/')+1:]
	return slices.ContainsFunc(harmlessFiles, func(begin string) bool { return strings.HasPrefix(name, begin) })
}

// fileAsks looks into a file, by the first of its names that can be opened.
func (r *residents) fileAsks(names ...string) bool {
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		defer f.Close()
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return true
		}
		id := fileID{uint64(st.Dev), st.Ino, st.Mtim.Nano(), st.Size}
		asks, known := r.files[id]
		if !known {
			asks = readerAsks(f)
			if len(r.files) >= maxResidentFiles {
				clear(r.files)
			}
			r.files[id] = asks
		}
		return asks
	}
	return true
}

// asksBefore is how much of the code before the number, and of what follows it,
// readerAsks looks at.
const asksBefore, asksAfter = 4, 4

// readerAsks reports whether there is an instruction in r that has the number of the
// ioctl FIONREAD as its operand.
func readerAsks(r io.Reader) bool {
	pattern, asks := []byte{0x1b, 0x54, 0, 0}, asksAMD64
	if runtime.GOARCH == "arm64" {
		pattern, asks = []byte{0x83, 0x8a}, asksARM64
	}
	buf := make([]byte, 1<<20)
	kept := 0
	for {
		n, err := io.ReadFull(r, buf[kept:])
		b := buf[:kept+n]
		for i := 0; ; i++ {
			j := bytes.Index(b[i:], pattern)
			if j < 0 {
				break
			}
			if i += j; asks(b, i) {
				return true
			}
		}
		if err != nil {
			return !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
		}
		kept = copy(buf, b[len(b)-asksBefore-asksAfter:])
	}
}

// asksAMD64 reports whether the four bytes at i are the operand of a mov into a
// register, or onto the stack.
func asksAMD64(b []byte, i int) bool {
	return i >= 1 && b[i-1]&0xf8 == 0xb8 || // mov $n, %reg
		i >= 2 && b[i-2] == 0xc7 && b[i-1]&0xf8 == 0xc0 || // the same, of 64 bits
		i >= 3 && b[i-3] == 0xc7 && b[i-2] == 0x04 && b[i-1] == 0x24 || // mov $n, (%rsp)
		i >= 3 && b[i-3] == 0xc7 && b[i-2] == 0x45 || // mov $n, x(%rbp)
		i >= 4 && b[i-4] == 0xc7 && b[i-3] == 0x44 && b[i-2] == 0x24 // mov $n, x(%rsp)
}

// asksARM64 reports whether the bytes at i are those in the middle of movz reg, #n;
// the register is in the lowest five bits.
func asksARM64(b []byte, i int) bool {
	return i >= 1 && i+2 < len(b) && b[i-1]&0xe0 == 0x60 && b[i+2]&0x7f == 0x52
}
