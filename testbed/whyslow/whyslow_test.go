// SPDX-License-Identifier: Apache-2.0

package whyslow

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// What the receiver calls it (receiver/internal/spans).
const (
	queueTime   = "ebpf.socket.queue_time"
	cpuTime     = "ebpf.thread.cpu_time"
	runQueue    = "ebpf.thread.runqueue_time"
	rtt         = "ebpf.tcp.rtt"
	retransmits = "ebpf.tcp.retransmits"
)

type observer struct {
	t    *testing.T
	sink *groundtruth.Sink
}

// observe starts a Collector that watches Python, on both capture backends.
func observe(t *testing.T, experiment func(t *testing.T, o *observer)) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, hooks := range []string{"sock", "sys_exit"} {
		t.Run(hooks, func(t *testing.T) {
			sink, err := groundtruth.NewSink()
			require.NoError(t, err)
			t.Cleanup(sink.Close)
			collector, err := groundtruth.StartCollector(groundtruth.CollectorOptions{
				Hooks: hooks, Endpoint: sink.Endpoint(), Dir: t.TempDir(), TracesOnly: true,
			})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, collector.Stop()) })
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			require.NoError(t, sink.WaitReady(ctx, collector))
			experiment(t, &observer{t, sink})
		})
	}
}

func (o *observer) server(argv ...string) *groundtruth.Process {
	o.t.Helper()
	p, err := groundtruth.StartServer(o.t.TempDir(), append(argv, "python3", groundtruth.Workload("slow.py"), "127.0.0.1", "0")...)
	require.NoError(o.t, err)
	o.t.Cleanup(func() { _ = p.Stop(0) })
	// Until its runtime is known, no thread is known to serve anything.
	time.Sleep(200 * time.Millisecond)
	return p
}

func get(t *testing.T, p *groundtruth.Process, path string) {
	t.Helper()
	r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", p.Port, path))
	require.NoError(t, err)
	defer r.Body.Close()
	_, err = io.Copy(io.Discard, r.Body)
	require.NoError(t, err)
}

// span waits for the span of a path.
func (o *observer) span(kind ptrace.SpanKind, path string) *groundtruth.Span {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), 10*time.Second)
	defer cancel()
	s, err := o.sink.Find(ctx, func(s *groundtruth.Span) bool { return s.Kind == kind && s.Path() == path })
	require.NoError(o.t, err, "no span of %s", path)
	return s
}

// seconds is the value of an attribute that has to be there.
func (o *observer) seconds(s *groundtruth.Span, key string) float64 {
	o.t.Helper()
	v, ok := s.Attributes.Get(key)
	require.True(o.t, ok, "no %s", key)
	return v.Double()
}

// A server that is stopped reads its requests late.
func TestQueueTime(t *testing.T) {
	observe(t, func(t *testing.T, o *observer) {
		p := o.server()
		get(t, p, "/sleep/0/before")
		require.Less(t, o.seconds(o.span(ptrace.SpanKindServer, "/sleep/0/before"), queueTime), 0.1)
		for _, stopped := range []time.Duration{20 * time.Millisecond, 500 * time.Millisecond} {
			path := fmt.Sprintf("/sleep/0/%v", stopped)
			stop(t, p)
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.Port))
			require.NoError(t, err)
			begins := time.Now()
			_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: slow\r\nConnection: close\r\n\r\n", path)
			require.NoError(t, err)
			sent := time.Now()
			time.Sleep(stopped)
			least := time.Since(sent).Seconds()
			require.NoError(t, p.Cmd.Process.Signal(syscall.SIGCONT))
			_, err = io.Copy(io.Discard, conn)
			require.NoError(t, err)
			most := time.Since(begins).Seconds()
			require.NoError(t, conn.Close())
			waited := o.seconds(o.span(ptrace.SpanKindServer, path), queueTime)
			t.Logf("stopped for %v, read between %.6f and %.6f s late, bytes waited %.6f s", stopped, least, most, waited)
			// It is counted in ticks, of 10 ms at most.
			const tick = 0.011
			require.Greater(t, waited, least-tick)
			require.Less(t, waited, most+tick)
		}
	})
}

// stop stops every thread of a process: a signal alone only asks for that.
func stop(t *testing.T, p *groundtruth.Process) {
	t.Helper()
	require.NoError(t, p.Cmd.Process.Signal(syscall.SIGSTOP))
	require.Eventually(t, func() bool {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID()))
		require.NoError(t, err)
		for _, stat := range stats {
			b, _ := os.ReadFile(stat)
			if _, rest, ok := strings.Cut(string(b), ") "); ok && rest[0] != 'T' {
				return false
			}
		}
		return true
	}, 5*time.Second, time.Millisecond)
}

// CPU time is told from other time.
func TestThreadCPU(t *testing.T) {
	observe(t, func(t *testing.T, o *observer) {
		p := o.server()
		for _, c := range []struct {
			path string
			cpu  float64
		}{{"/sleep/60", 0}, {"/busy/5", 0.005}, {"/busy/60", 0.060}} {
			get(t, p, c.path)
			cpu := o.seconds(o.span(ptrace.SpanKindServer, c.path), cpuTime)
			t.Logf("%s: %.6f s of CPU time", c.path, cpu)
			// A thread that has moved to another CPU is accounted in ticks.
			require.InDelta(t, c.cpu, cpu, 0.009)
		}
	})
}

// A thread that could run but another one does.
func TestRunQueue(t *testing.T) {
	observe(t, func(t *testing.T, o *observer) {
		p := o.server("taskset", "-c", "0")
		get(t, p, "/busy/50/alone")
		alone := o.span(ptrace.SpanKindServer, "/busy/50/alone")
		rival := exec.Command("taskset", "-c", "0", "python3", "-c", "while True: pass")
		require.NoError(t, rival.Start())
		defer func() {
			_ = rival.Process.Kill()
			_ = rival.Wait()
		}()
		get(t, p, "/busy/50/rival")
		with := o.span(ptrace.SpanKindServer, "/busy/50/rival")
		t.Logf("alone: %.6f s waiting for a CPU; with a rival: %.6f s", o.seconds(alone, runQueue), o.seconds(with, runQueue))
		require.InDelta(t, 0.050, o.seconds(with, cpuTime), 0.009)
		// It gets half of the CPU, so it waits about as long as it computes.
		require.Greater(t, o.seconds(with, runQueue), 0.025)
		require.Less(t, o.seconds(alone, runQueue), o.seconds(with, runQueue)/2)
	})
}

// Packets that are dropped between two hosts are sent again.
func TestRetransmits(t *testing.T) {
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("needs %s (testbed/install.sh)", tool)
		}
	}
	observe(t, func(t *testing.T, o *observer) {
		namespaces(t)
		const client = `import urllib.request,sys
for path in sys.argv[1:]: urllib.request.urlopen("http://10.251.7.2:8088"+path, timeout=20).read()`
		request := func(paths ...string) {
			run(t, append([]string{"ip", "netns", "exec", "whyslow-a", "python3", "-c", client}, paths...)...)
		}
		request("/sleep/0/whole")
		s := o.span(ptrace.SpanKindClient, "/sleep/0/whole")
		sent, ok := s.Int(retransmits)
		require.True(t, ok)
		require.Zero(t, sent)
		require.Greater(t, o.seconds(s, rtt), 0.0)
		require.Less(t, o.seconds(s, rtt), 0.05)

		// The first packet with data of every connection gets lost.
		for _, rule := range []string{
			"add table inet whyslow",
			"add set inet whyslow seen { type inet_service; flags dynamic; timeout 60s; }",
			"add chain inet whyslow input { type filter hook input priority 0; }",
			"add rule inet whyslow input tcp dport 8088 tcp flags & (syn|fin|rst) == 0 meta length > 100 tcp sport != @seen add @seen { tcp sport } drop",
		} {
			run(t, append([]string{"ip", "netns", "exec", "whyslow-b", "nft"}, rule)...)
		}
		request("/sleep/0/lost1", "/sleep/0/lost2")
		for _, path := range []string{"/sleep/0/lost1", "/sleep/0/lost2"} {
			s := o.span(ptrace.SpanKindClient, path)
			sent, _ := s.Int(retransmits)
			t.Logf("%s: %d packets sent again, %v", path, sent, time.Duration(s.End-s.Start))
			require.Equal(t, int64(1), sent)
			require.Greater(t, time.Duration(s.End-s.Start), 150*time.Millisecond)
			o.span(ptrace.SpanKindServer, path)
		}
	})
}

// namespaces makes two hosts with a wire between them, and a server on the second.
func namespaces(t *testing.T) {
	t.Helper()
	for _, name := range []string{"whyslow-a", "whyslow-b"} {
		_ = exec.Command("ip", "netns", "del", name).Run()
		run(t, "ip", "netns", "add", name)
		t.Cleanup(func() { run(t, "ip", "netns", "del", name) })
	}
	run(t, "ip", "link", "add", "wsa", "netns", "whyslow-a", "type", "veth", "peer", "name", "wsb", "netns", "whyslow-b")
	for _, end := range [][3]string{{"whyslow-a", "wsa", "10.251.7.1/24"}, {"whyslow-b", "wsb", "10.251.7.2/24"}} {
		run(t, "ip", "-n", end[0], "addr", "add", end[2], "dev", end[1])
		run(t, "ip", "-n", end[0], "link", "set", end[1], "up")
		run(t, "ip", "-n", end[0], "link", "set", "lo", "up")
	}
	p, err := groundtruth.StartServer(t.TempDir(), "ip", "netns", "exec", "whyslow-b", "python3", groundtruth.Workload("slow.py"), "10.251.7.2", "8088")
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Stop(0) })
	time.Sleep(200 * time.Millisecond)
}

func run(t *testing.T, argv ...string) {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	require.NoError(t, err, "%s\n%s", strings.Join(argv, " "), out)
}
