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
// in whose code and data the number of that ioctl does not occur. A new process is
// looked at once its libraries are there, and now and then later, for more.
type residents struct {
	m     *ebpf.Map
	queue chan uint32
	stop  chan struct{}
	done  sync.WaitGroup

	watched map[uint32]*resident
	files   map[fileID]bool // whether it asks
}

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
		watched: map[uint32]*resident{}, files: map[fileID]bool{},
	}
}

func (r *residents) start(m *ebpf.Map) {
	r.m = m
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
	if r == nil || r.m == nil {
		return
	}
	close(r.stop)
	r.done.Wait()
	r.m = nil
}

func (r *residents) watch(pid uint32) {
	_ = r.m.Delete(pid)
	delete(r.watched, pid)
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
		delete(r.watched, pid)
		_ = r.m.Delete(pid)
		return
	}
	w.looks++
	w.due = now.Add(min(residentSettle<<w.looks, residentAgain))
	if r.asks(pid) {
		_ = r.m.Delete(pid)
		delete(r.watched, pid)
		return
	}
	_ = r.m.Put(pid, uint32(1))
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
// of has the number in it, or cannot be read.
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
		if r.fileAsks(fmt.Sprintf("/proc/%d/map_files/%s", pid, fields[0]), fmt.Sprintf("/proc/%d/root%s", pid, fields[5])) {
			return true
		}
	}
	return len(seen) == 0
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

// readerAsks reports whether the number of the ioctl FIONREAD occurs in r, as an
// operand of amd64 or in data, or, of arm64, in an instruction.
func readerAsks(r io.Reader) bool {
	number := []byte{0x1b, 0x54, 0, 0}
	// movz w or x, #0x541b: the register is in the lowest five bits.
	move := []byte{0x83, 0x8a}
	buf := make([]byte, 1<<20)
	kept := 0
	for {
		n, err := io.ReadFull(r, buf[kept:])
		b := buf[:kept+n]
		if bytes.Contains(b, number) {
			return true
		}
		if runtime.GOARCH == "arm64" {
			for i := 1; ; i++ {
				j := bytes.Index(b[min(i, len(b)):], move)
				if j < 0 {
					break
				}
				if i += j; i+2 < len(b) && b[i-1]&0xe0 == 0x60 && b[i+2]&0x7f == 0x52 {
					return true
				}
			}
		}
		if err != nil {
			return !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
		}
		kept = copy(buf, b[len(b)-3:])
	}
}
