// SPDX-License-Identifier: Apache-2.0

// Package brokers is what the ground truths of AMQP, NATS and MQTT share: real brokers,
// clients in Go and Python that write down what they did, and the comparison of that with
// the spans of both sides.
package brokers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
)

// Record is what an operation has to look like, as a client wrote it down.
type Record struct {
	Case       string            `json:"case"`
	Name       string            `json:"name"`
	Start      int64             `json:"start"`
	End        int64             `json:"end"`
	Least      int64             `json:"least"`
	Error      string            `json:"error"`
	Side       string            `json:"side"`
	OneWay     bool              `json:"one_way"`
	Attributes map[string]string `json:"attributes"`
}

// directory is where build.sh leaves the clients.
func directory() string { return filepath.Join(groundtruth.Root(), "testbed", "_build", "brokers") }

// Build builds the clients.
func Build(t *testing.T) {
	t.Helper()
	out, err := exec.Command(filepath.Join(groundtruth.Root(), "testbed", "protocols", "brokers", "build.sh")).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// Process is a broker, or a client.
type Process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	log   *strings.Builder
	done  chan struct{}
	err   error
}

// PID is the process's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// start runs a program that the test's end ends.
func start(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{cmd: cmd, lines: make(chan string, 100_000), log: &strings.Builder{}, done: make(chan struct{})}
	name, value := protocols.Mark(t)
	cmd.Env = append(append(os.Environ(), cmd.Env...), name+"="+value, "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stderr = p.log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	p.in, err = cmd.StdinPipe()
	require.NoError(t, err)
	started := make(chan error)
	go func() {
		runtime.LockOSThread()         // Pdeathsig is sent when this thread ends
		defer runtime.UnlockOSThread() // or it ends, and others that were forked on it, too
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		s := bufio.NewScanner(out)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			p.lines <- s.Text()
		}
		close(p.lines)
		p.err = cmd.Wait()
		close(p.done)
	}()
	require.NoError(t, <-started)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
		}
	})
	return p
}

func port(t *testing.T) int {
	t.Helper()
	n, err := groundtruth.FreePort()
	require.NoError(t, err)
	return n
}

// listens waits until something does.
func listens(t *testing.T, address string, p *Process) {
	t.Helper()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, 30*time.Second, 20*time.Millisecond, "%s", p.log)
}

// nobody makes a directory of the user nobody, and the attributes of processes of its.
func nobody(t *testing.T) (dir string, attributes *syscall.SysProcAttr) {
	t.Helper()
	dir, err := os.MkdirTemp("", "brokers")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	const id = 65534
	require.NoError(t, os.Chown(dir, id, id))
	return dir, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id, NoSetGroups: true}}
}

// RabbitMQ starts a node of its own, with a port mapper of its own, and returns its address
// and the id of the process that serves it.
func RabbitMQ(t *testing.T) (address string, pid int) {
	t.Helper()
	dir, attributes := nobody(t)
	listen, distribution, mapper := port(t), port(t), port(t)
	epmd := exec.Command("epmd", "-address", "127.0.0.1", "-port", fmt.Sprint(mapper))
	epmd.SysProcAttr = attributes
	start(t, epmd)
	cmd := exec.Command("/usr/lib/rabbitmq/bin/rabbitmq-server")
	_, attributes = dir, &syscall.SysProcAttr{Credential: attributes.Credential}
	cmd.SysProcAttr = attributes
	cmd.Dir = dir
	cmd.Env = []string{
		"HOME=" + dir, fmt.Sprintf("RABBITMQ_NODENAME=groundtruth%d@localhost", listen), "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		fmt.Sprint("RABBITMQ_NODE_PORT=", listen), fmt.Sprint("RABBITMQ_DIST_PORT=", distribution), fmt.Sprint("ERL_EPMD_PORT=", mapper),
		"RABBITMQ_MNESIA_BASE=" + dir + "/mnesia", "RABBITMQ_LOG_BASE=" + dir + "/log", "RABBITMQ_PID_FILE=" + dir + "/pid",
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + dir + "/plugins", "RABBITMQ_CONFIG_FILE=" + dir + "/none",
		// Schedulers that spin take time from everything else here.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+sbwt none +sbwtdcpu none +sbwtdio none",
	}
	p := start(t, cmd)
	address = fmt.Sprint("127.0.0.1:", listen)
	ready := time.After(60 * time.Second)
	for {
		select {
		case line, ok := <-p.lines:
			require.True(t, ok, "%s", p.log)
			if strings.Contains(line, "completed with") {
				b, err := os.ReadFile(filepath.Join(dir, "pid"))
				require.NoError(t, err)
				_, err = fmt.Sscan(string(b), &pid)
				require.NoError(t, err)
				// The node is a child of a shell.
				t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
				return address, pid
			}
		case <-ready:
			t.Fatalf("rabbitmq-server does not start: %s", p.log)
		}
	}
}

// NATS starts nats-server with JetStream.
func NATS(t *testing.T) (address string, pid int) {
	t.Helper()
	dir, attributes := nobody(t)
	n := port(t)
	cmd := exec.Command("/usr/sbin/nats-server", "-a", "127.0.0.1", "-p", fmt.Sprint(n), "-js", "-sd", dir)
	cmd.SysProcAttr = attributes
	p := start(t, cmd)
	address = fmt.Sprint("127.0.0.1:", n)
	listens(t, address, p)
	return address, p.PID()
}

// Mosquitto starts one that lets nobody publish to secret/.
func Mosquitto(t *testing.T) (address string, pid int) {
	t.Helper()
	dir, attributes := nobody(t)
	n := port(t)
	config, access := filepath.Join(dir, "conf"), filepath.Join(dir, "acl")
	require.NoError(t, os.WriteFile(access, []byte("topic readwrite #\ntopic deny secret/#\n"), 0o644))
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "listener %d 127.0.0.1\nallow_anonymous true\nacl_file %s\nmax_inflight_messages 200\nmax_queued_messages 10000\nmax_topic_alias 20\n", n, access), 0o644))
	cmd := exec.Command("/usr/sbin/mosquitto", "-c", config)
	cmd.SysProcAttr = attributes
	p := start(t, cmd)
	address = fmt.Sprint("127.0.0.1:", n)
	listens(t, address, p)
	return address, p.PID()
}

// Go starts the Go client, and waits until its connections are open.
func Go(t *testing.T, what, address string) *Process {
	t.Helper()
	return client(t, exec.Command(filepath.Join(directory(), "client"), what, address))
}

// Python starts the Python one.
func Python(t *testing.T, what, address string) *Process {
	t.Helper()
	return client(t, exec.Command(filepath.Join(directory(), "python", "bin", "python"),
		filepath.Join(groundtruth.Root(), "testbed", "protocols", "brokers", "client.py"), what, address))
}

func client(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	p := start(t, cmd)
	select {
	case line := <-p.lines:
		require.Equal(t, "ready", line, "%s", p.log)
	case <-time.After(20 * time.Second):
		t.Fatalf("the client is not ready: %s", p.log)
	}
	return p
}

// Work lets a client go on, and returns what it did.
func (p *Process) Work(t *testing.T) (records []*Record) {
	t.Helper()
	_, err := io.WriteString(p.in, "go\n")
	require.NoError(t, err)
	timeout := time.After(60 * time.Second)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				select {
				case <-p.done:
				case <-timeout:
					t.Fatalf("the client did not end: %s", p.log)
				}
				require.NoError(t, p.err, "%s", p.log)
				require.NotEmpty(t, records)
				return records
			}
			r := &Record{}
			require.NoError(t, json.Unmarshal([]byte(line), r), "%s", line)
			records = append(records, r)
		case <-timeout:
			t.Fatalf("the client did not end: %s", p.log)
		}
	}
}

// tolerance is how far a span may lie outside of its bounds: clocks are mapped.
const tolerance = 10 * time.Millisecond

type tally struct {
	expected, found                       int
	missing, duration, attribute, pairing []string
}

// Compare compares the spans of one side of a client's conversation with its records. Spans
// that nobody wrote down are bogus, unless allow says that they may be there.
func Compare(t *testing.T, label string, records []*Record, spans []*groundtruth.Span, side string, allow func(*groundtruth.Span) bool) {
	t.Helper()
	byName := map[string][]*groundtruth.Span{}
	for _, s := range spans {
		byName[s.Name] = append(byName[s.Name], s)
	}
	cases := map[string]*tally{}
	var names []string
	// Those with bounds choose first.
	order := slices.Clone(records)
	slices.SortStableFunc(order, func(a, b *Record) int {
		if (a.End == 0) != (b.End == 0) {
			if a.End != 0 {
				return -1
			}
			return 1
		}
		return 0
	})
	for _, r := range order {
		if r.Side != "" && r.Side != side {
			continue
		}
		c := cases[r.Case]
		if c == nil {
			c = &tally{}
			cases[r.Case] = c
			names = append(names, r.Case)
		}
		c.expected++
		candidates := byName[r.Name]
		if len(candidates) == 0 {
			c.missing = append(c.missing, r.Name)
			continue
		}
		at := slices.IndexFunc(candidates, func(s *groundtruth.Span) bool { return r.fails(s) && within(r, s, side) })
		if at < 0 {
			at = 0
		}
		s := candidates[at]
		byName[r.Name] = slices.Delete(candidates, at, at+1)
		c.found++
		if !r.fails(s) {
			c.pairing = append(c.pairing, fmt.Sprintf("%s: error.type %q, not %q", r.Name, s.Text("error.type"), r.Error))
		}
		if !within(r, s, side) {
			c.duration = append(c.duration, fmt.Sprintf("%s: %d..%d (%v) is outside of %d..%d, at least %v", r.Name, s.Start-r.Start, s.End-r.Start, time.Duration(s.End-s.Start), 0, r.End-r.Start, time.Duration(r.Least)))
		}
		for k, want := range r.Attributes {
			if k == "confirmed" {
				if s.End-s.Start < int64(20*time.Microsecond) {
					c.duration = append(c.duration, fmt.Sprintf("%s: %v is too short to have been confirmed", r.Name, time.Duration(s.End-s.Start)))
				}
				continue
			}
			if got := s.Text(k); got != want {
				c.attribute = append(c.attribute, fmt.Sprintf("%s: %s is %q, not %q", r.Name, k, got, want))
			}
		}
	}
	slices.Sort(names)
	wrong := false
	for _, name := range names {
		c := cases[name]
		t.Logf("%-8s %-7s %-16s expected %4d found %4d recall %6.2f%% wrong error %d duration %d attributes %d", label, side, name, c.expected, c.found,
			100*float64(c.found)/float64(c.expected), len(c.pairing), len(c.duration), len(c.attribute))
		// One in a thousand may be missing; of connections older than the collector also
		// what is under way while they are recognised.
		permitted := c.expected / 1000
		if strings.HasPrefix(name, "old") {
			permitted += 2
		}
		for i, list := range [][]string{c.missing, c.pairing, c.duration, c.attribute} {
			wrong = wrong || len(list) > 0 && (i > 0 || len(list) > permitted)
			for i, s := range list {
				if i < 4 {
					t.Logf("    %s", s)
				}
			}
		}
	}
	bogus := 0
	for name, left := range byName {
		for _, s := range left {
			if allow(s) {
				continue
			}
			if bogus++; bogus < 10 {
				t.Logf("    bogus: %s %v error %q pid %d", name, time.Duration(s.End-s.Start), s.Text("error.type"), s.PID())
			}
		}
	}
	t.Logf("%-8s %-7s bogus %d", label, side, bogus)
	if wrong || bogus > 0 {
		t.Errorf("%s: the spans of the %s are not what happened", label, side)
	}
}

// fails reports whether a span has the error that the record says, or one of them.
func (r *Record) fails(s *groundtruth.Span) bool {
	return slices.Contains(strings.Split(r.Error, "|"), s.Text("error.type"))
}

// within reports whether a span of one side lies within its bounds. When the broker reads what
// nothing answers, as an acknowledgement, the client does not know.
func within(r *Record, s *groundtruth.Span, side string) bool {
	bounded := r.End != 0 && (side == "client" || !r.OneWay)
	if r.Start != 0 && s.Start < r.Start-int64(tolerance) || bounded && s.End > r.End+int64(tolerance) {
		return false
	}
	return s.End-s.Start >= r.Least-int64(500*time.Microsecond)
}

// Run runs the clients one after the other against a broker, and compares both sides.
func Run(t *testing.T, hooks, address string, pid int, clients map[string]*Process, allow func(*groundtruth.Span) bool) *protocols.Watch {
	t.Helper()
	name, value := protocols.Mark(t)
	w := protocols.Observe(t, hooks, fmt.Sprintf(`[{environment: {%s: %q}}]`, name, value), "limits: {max_series_per_metric: 100000}")
	labels := make([]string, 0, len(clients))
	for label := range clients {
		labels = append(labels, label)
	}
	slices.Sort(labels)
	for _, label := range labels {
		c := clients[label]
		before := len(w.Sink.Spans())
		began := time.Now()
		records := c.Work(t)
		took := time.Since(began)
		spans := w.Settled(before + 2*len(records))[before:]
		sides := map[string][]*groundtruth.Span{}
		for _, s := range spans {
			switch s.PID() {
			case pid:
				sides["server"] = append(sides["server"], s)
			case c.PID():
				sides["client"] = append(sides["client"], s)
			}
		}
		t.Logf("%s: %d operations in %v, %d spans", label, len(records), took.Round(time.Millisecond), len(spans))
		if telemetry, err := w.Telemetry(t.Context()); err == nil {
			t.Logf("%s: lost so far: %v", label, groundtruth.Losses(telemetry))
		}
		for _, side := range []string{"client", "server"} {
			Compare(t, label, records, sides[side], side, allow)
		}
	}
	return w
}
