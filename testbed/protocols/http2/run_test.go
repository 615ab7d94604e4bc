// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
)

// call is what one end says of a call: see truth/main.go.
type call struct {
	Path, Code        string
	Start, End        int64
	Request, Response int
}

// program is a client or a server.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Reader
	port  int
	errs  bytes.Buffer
	calls []call
	done  chan error // of reading lines
}

func built(name string) string {
	return filepath.Join(groundtruth.Root(), "testbed", "_build", "http2", name)
}

// truth and python are the commands of both implementations.
func truth(args ...string) []string { return append([]string{built("truth")}, args...) }

func python(args ...string) []string {
	script := filepath.Join(groundtruth.Root(), "testbed", "protocols", "http2", "python", "truth.py")
	return append([]string{built("venv/bin/python"), script}, args...)
}

func install(t *testing.T) {
	t.Helper()
	out, err := exec.Command(filepath.Join(groundtruth.Root(), "testbed", "protocols", "http2", "install.sh")).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// start runs a program that the collector observes.
func start(t *testing.T, argv ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command(argv[0], argv[1:]...)}
	name, value := protocols.Mark(t)
	p.cmd.Env = append(os.Environ(), name+"="+value, "PYTHONDONTWRITEBYTECODE=1")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = &p.errs
	var err error
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.lines = bufio.NewReader(out)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// collect reads what the program says of its calls, so that it never waits for us.
func (p *program) collect() *program {
	p.done = make(chan error, 1)
	go func() {
		d := json.NewDecoder(p.lines)
		for {
			var c call
			if err := d.Decode(&c); err != nil {
				p.done <- err
				return
			}
			p.calls = append(p.calls, c)
		}
	}()
	return p
}

// serve is start for servers, which say where they listen.
func serve(t *testing.T, argv ...string) *program {
	t.Helper()
	p := start(t, argv...)
	line, err := p.lines.ReadString('\n')
	require.NoError(t, err, "%s", p.errs.String())
	p.port, err = strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "listening ")))
	require.NoError(t, err, line)
	return p.collect()
}

func (p *program) pid() int { return p.cmd.Process.Pid }

func (p *program) target() string { return "127.0.0.1:" + strconv.Itoa(p.port) }

// wait waits for a program that is not one of ours, and returns what it printed.
func (p *program) wait() string {
	p.t.Helper()
	require.NoError(p.t, p.stdin.Close())
	timer := time.AfterFunc(30*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	var text strings.Builder
	_, err := p.lines.WriteTo(&text)
	require.NoError(p.t, err)
	require.NoError(p.t, p.cmd.Wait(), "%s", p.errs.String())
	return text.String()
}

// end ends a server, or waits for a client, and returns what it says.
func (p *program) end() []call {
	p.t.Helper()
	require.NoError(p.t, p.stdin.Close())
	timer := time.AfterFunc(60*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	require.Equal(p.t, io.EOF, <-p.done, "%s", p.errs.String())
	require.NoError(p.t, p.cmd.Wait(), "%s", p.errs.String())
	return p.calls
}
