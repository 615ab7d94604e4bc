// SPDX-License-Identifier: Apache-2.0

package groundtruth

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a workload program that was started.
type Process struct {
	Cmd *exec.Cmd
	// Port it said it listens on; 0 for clients.
	Port int

	stderr *logBuffer
	done   chan struct{}
	err    error
}

// Start runs a program; its process is killed with the test.
func Start(dir string, argv ...string) (*Process, error) {
	p, _, err := start(dir, false, argv)
	return p, err
}

// StartServer runs a program and waits until it prints "listening PORT".
func StartServer(dir string, argv ...string) (*Process, error) {
	p, lines, err := start(dir, true, argv)
	if err != nil {
		return nil, err
	}
	select {
	case line, ok := <-lines:
		rest, found := strings.CutPrefix(line, "listening ")
		if !ok || !found {
			_ = p.Stop(0)
			return nil, fmt.Errorf("%s: said %q, not where it listens: %s", filepath.Base(argv[0]), line, p.stderr)
		}
		p.Port, err = strconv.Atoi(strings.TrimSpace(rest))
		return p, err
	case <-time.After(10 * time.Second):
		_ = p.Stop(0)
		return nil, fmt.Errorf("%s: does not listen: %s", filepath.Base(argv[0]), p.stderr)
	}
}

func start(dir string, piped bool, argv []string) (*Process, <-chan string, error) {
	p := &Process{Cmd: exec.Command(argv[0], argv[1:]...), stderr: &logBuffer{}, done: make(chan struct{})}
	p.Cmd.Dir = dir
	p.Cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	p.Cmd.Stderr = p.stderr
	p.Cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	lines := make(chan string, 1)
	var out *bufio.Scanner
	if piped {
		pipe, err := p.Cmd.StdoutPipe()
		if err != nil {
			return nil, nil, err
		}
		out = bufio.NewScanner(pipe)
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()         // Pdeathsig is sent when this thread ends
		defer runtime.UnlockOSThread() // or it ends, and others that were forked on it, too
		err := p.Cmd.Start()
		started <- err
		if err != nil {
			return
		}
		if out != nil {
			if out.Scan() {
				lines <- out.Text()
			}
			close(lines)
			for out.Scan() { // drain
			}
		}
		p.err = p.Cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", filepath.Base(argv[0]), err)
	}
	return p, lines, nil
}

// PID of the process.
func (p *Process) PID() int { return p.Cmd.Process.Pid }

// ErrTimeout is returned for processes that did not end in time.
var ErrTimeout = errors.New("did not end in time")

// Wait waits for the process to end by itself.
func (p *Process) Wait(limit time.Duration) error {
	select {
	case <-p.done:
	case <-time.After(limit):
		_ = p.Cmd.Process.Signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("%s: %w: %s", filepath.Base(p.Cmd.Path), ErrTimeout, p.stderr)
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(p.Cmd.Path), p.err, p.stderr)
	}
	return nil
}

// Stop ends the process with SIGTERM after a while.
func (p *Process) Stop(after time.Duration) error {
	time.Sleep(after)
	_ = p.Cmd.Process.Signal(syscall.SIGTERM)
	return p.Wait(5 * time.Second)
}

// Compile makes a C workload with gcc.
func Compile(source, target string, libraries ...string) error {
	args := append([]string{"-O2", "-g", "-o", target, filepath.Join(Root(), "testbed", "workloads", source), "-pthread"}, libraries...)
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("gcc %s: %w\n%s", source, err, out)
	}
	return nil
}

// Workload is the path of a script in testbed/workloads.
func Workload(name string) string { return filepath.Join(Root(), "testbed", "workloads", name) }

// Children lists the processes a process has started.
func Children(pid int) ([]int, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, err
	}
	var out []int
	for _, t := range tasks {
		b, err := os.ReadFile(t)
		if err != nil {
			return nil, err
		}
		for _, f := range strings.Fields(string(b)) {
			n, err := strconv.Atoi(f)
			if err != nil {
				return nil, err
			}
			out = append(out, n)
		}
	}
	return out, nil
}
