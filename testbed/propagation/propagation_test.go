// SPDX-License-Identifier: Apache-2.0

package propagation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// pair is two nodes, with a server on the second.
type pair struct {
	t     *testing.T
	a, b  *Node
	peer  string
	port  string
	sink  map[*Node]*groundtruth.Sink
	colls map[*Node]*groundtruth.Collector
}

func newPair(t *testing.T) *pair {
	p := &pair{t: t, sink: map[*Node]*groundtruth.Sink{}, colls: map[*Node]*groundtruth.Collector{}}
	var err error
	p.a, p.b, err = NewNodes()
	require.NoError(t, err)
	t.Cleanup(p.a.Close)
	t.Cleanup(p.b.Close)
	p.peer = filepath.Join(t.TempDir(), "peer")
	build := exec.Command("go", "build", "-o", p.peer, "./testbed/propagation/peer")
	build.Dir = groundtruth.Root()
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return p
}

// serve starts the server.
func (p *pair) serve() *Process {
	p.t.Helper()
	s, err := p.b.Start(p.peer, "server", "0")
	require.NoError(p.t, err)
	p.t.Cleanup(s.Kill)
	line, err := s.Line()
	require.NoError(p.t, err)
	p.port = strings.TrimPrefix(line, "listening ")
	return s
}

// watch starts a collector for some nodes.
func (p *pair) watch(receiver string, nodes ...*Node) {
	p.t.Helper()
	sink, err := groundtruth.NewSink()
	require.NoError(p.t, err)
	p.t.Cleanup(sink.Close)
	var rules []string
	for _, n := range nodes {
		rules = append(rules, fmt.Sprintf(`{environment: {%s: "%s"}}`, nodeVariable, n.Name))
	}
	c, err := groundtruth.StartCollector(groundtruth.CollectorOptions{
		Endpoint: sink.Endpoint(), Dir: p.t.TempDir(), TracesOnly: true,
		Receiver: fmt.Sprintf(`discovery: {include: [%s]}
limits: {ring_buffer_size: 67108864}
%s`, strings.Join(rules, ", "), receiver),
	})
	require.NoError(p.t, err)
	p.t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			p.t.Error(err)
		}
	})
	for _, n := range nodes {
		p.sink[n], p.colls[n] = sink, c
	}
	require.Eventually(p.t, func() bool { return strings.Contains(c.Log(), "eBPF capture started") }, 20*time.Second, 10*time.Millisecond, "%s", c.Log())
}

// enum process_verdict of bpf/record.h
const selected, ignored uint32 = 1, 2

// judged waits until a node's collector has looked at a process.
func (p *pair) judged(n *Node, process *Process, verdict uint32) {
	p.t.Helper()
	processes, err := mapOf(p.colls[n].PID(), "processes")
	require.NoError(p.t, err)
	defer processes.Close()
	require.Eventually(p.t, func() bool {
		v := uint32(0)
		return processes.Lookup(uint32(process.PID()), &v) == nil && v&0xff == verdict // above it: how often it executed something
	}, 10*time.Second, 5*time.Millisecond)
}

// known waits until a node's collector has selected a process and found out how its
// program works: nothing is written into its requests before.
func (p *pair) known(n *Node, process *Process) {
	p.t.Helper()
	p.judged(n, process, selected)
	runtimes, err := mapOf(p.colls[n].PID(), "runtimes")
	require.NoError(p.t, err)
	defer runtimes.Close()
	works := make([]byte, runtimes.ValueSize())
	require.Eventually(p.t, func() bool {
		return runtimes.Lookup(uint32(process.PID()), works) == nil
	}, 10*time.Second, 5*time.Millisecond)
}

// mapOf finds a BPF map that a process has open by its name.
func mapOf(pid int, name string) (*ebpf.Map, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		b, _ := os.ReadFile(file)
		_, after, found := strings.Cut(string(b), "map_id:\t")
		if !found {
			continue
		}
		var id ebpf.MapID
		if _, err := fmt.Sscan(after, &id); err != nil {
			return nil, err
		}
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			continue // closed meanwhile
		}
		if info, err := m.Info(); err == nil && info.Name == name {
			return m, nil
		}
		_ = m.Close()
	}
	return nil, fmt.Errorf("process %d has no BPF map %s open", pid, name)
}

// flush ends the collectors: then all spans have come.
func (p *pair) flush() {
	p.t.Helper()
	for _, c := range p.colls {
		require.NoError(p.t, c.Stop())
	}
}

// client is traffic of one kind.
type client struct {
	name string
	argv []string
	// requests of it; header: all of them get a header.
	requests int
	header   bool
}

func (p *pair) url(c string) string { return "/p/" + c }

// run makes the traffic of all clients, one after the other.
func (p *pair) run(clients []client) map[string]Result {
	p.t.Helper()
	started := map[string]*Process{}
	for _, c := range clients {
		process, err := p.a.Start(c.argv...)
		require.NoError(p.t, err)
		p.t.Cleanup(process.Kill)
		started[c.name] = process
	}
	// As long as services run: what their programs do is known after a while.
	time.Sleep(4 * time.Second)
	results := map[string]Result{}
	for _, c := range clients {
		require.NoError(p.t, started[c.name].Go())
		r, err := started[c.name].Result()
		require.NoError(p.t, err, c.name)
		results[c.name] = r
		p.t.Logf("%-12s %6d requests in %v, %d with a header", c.name, r.Requests, r.Elapsed().Round(time.Millisecond), r.Injected)
	}
	return results
}

// hop is one request as both nodes report it.
type hop struct{ client, server *groundtruth.Span }

// hops waits until all requests have come, and pairs them by their paths.
func (p *pair) hops(want int) map[string]*hop {
	p.t.Helper()
	count := func() int { return min(p.sink[p.a].Count(), p.sink[p.b].Count()) }
	deadline := time.Now().Add(30 * time.Second)
	for last, since := count(), time.Now(); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if n := count(); n != last {
			last, since = n, time.Now()
		}
		if last >= want && time.Since(since) > 300*time.Millisecond || time.Since(since) > 5*time.Second {
			break
		}
	}
	all := map[string]*hop{}
	at := func(path string) *hop {
		if all[path] == nil {
			all[path] = &hop{}
		}
		return all[path]
	}
	for _, s := range p.sink[p.a].Spans() {
		if u, err := url.Parse(s.Text("url.full")); err == nil && s.Kind == ptrace.SpanKindClient {
			at(u.Path).client = s
		}
	}
	for _, s := range p.sink[p.b].Spans() {
		if s.Kind == ptrace.SpanKindServer {
			at(s.Text("url.path")).server = s
		}
	}
	return all
}

func (p *pair) telemetry(n *Node) map[string]float64 {
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	m, err := p.colls[n].Telemetry(ctx)
	require.NoError(p.t, err)
	return m
}

func (p *pair) logContexts() {
	for _, n := range []*Node{p.a, p.b} {
		for series, v := range p.telemetry(n) {
			if v != 0 && (strings.Contains(series, "contexts") || strings.Contains(series, "lost")) {
				p.t.Logf("%s %s = %g", n.Name, series, v)
			}
		}
	}
}

// scale is how many requests there are, of 100 000 in all.
func scale(n int) int {
	if testing.Short() {
		return max(n/20, 20)
	}
	return n
}

func (p *pair) clients() []client {
	address := p.b.Address + ":" + p.port
	address6 := "[" + p.b.Address6 + "]:" + p.port
	peer := func(name, mode, address string, header bool, n, connections, largest, head int) client {
		n = scale(n)
		return client{name, []string{p.peer, "client", mode, address, p.url(name), fmt.Sprint(n), fmt.Sprint(connections), fmt.Sprint(largest), fmt.Sprint(head)}, n, header}
	}
	python := func(name, mode string, header bool, n, connections, largest, head int) client {
		n = scale(n)
		script := filepath.Join(groundtruth.Root(), "testbed", "propagation", "client.py")
		return client{name, []string{"python3", script, mode, address, p.url(name), fmt.Sprint(n), fmt.Sprint(connections), fmt.Sprint(largest), fmt.Sprint(head)}, n, header}
	}
	return []client{
		peer("go", "http", address, true, 10000, 8, 1<<20, 3000),
		peer("go6", "http", address6, true, 4000, 8, 1<<20, 3000),
		peer("gofresh", "http-fresh", address, true, 2500, 4, 1<<20, 3000),
		peer("raw", "raw", address, true, 5000, 4, 1<<20, 12000),
		peer("rawsplit", "raw-split", address, true, 3000, 4, 1<<20, 12000),
		peer("rawpieces", "raw-pieces", address, false, 2500, 4, 1<<20, 12000),
		python("python", "keep", true, 2500, 4, 1<<20, 12000),
		python("pyfresh", "fresh", true, 1500, 4, 1<<20, 12000),
		python("pyblock", "block", false, 1500, 4, 1<<20, 12000),
	}
}

// curl makes requests with one command, which is started before it is told what to do.
func (p *pair) curl(requests int) Result {
	p.t.Helper()
	c, err := p.a.Start("curl", "-sS", "--config", "-")
	require.NoError(p.t, err)
	p.t.Cleanup(c.Kill)
	time.Sleep(3 * time.Second)
	began := time.Now()
	dir := p.t.TempDir()
	var config strings.Builder
	want := make([]string, requests)
	for n := range requests {
		if n > 0 {
			config.WriteString("next\n")
		}
		var body []byte
		if n%2 == 1 {
			body = bytes.Repeat([]byte("0123456789abcdef"), (n*n)%66_000)
			file := filepath.Join(dir, fmt.Sprint(n))
			require.NoError(p.t, os.WriteFile(file, body, 0o600))
			fmt.Fprintf(&config, "data-binary = \"@%s\"\n", file)
		}
		if n%10 == 3 {
			fmt.Fprintf(&config, "header = \"X-Filler: %s\"\n", strings.Repeat("f", n*7))
		}
		fmt.Fprintf(&config, "url = \"http://%s:%s%s/%d\"\n", p.b.Address, p.port, p.url("curl"), n)
		hash := sha256.Sum256(body)
		want[n] = hex.EncodeToString(hash[:8])
	}
	go func() {
		_, _ = io.WriteString(c.stdin, config.String())
		_ = c.stdin.Close()
	}()
	var r Result
	for n := range requests {
		line, err := c.Line()
		require.NoError(p.t, err)
		fields := strings.SplitN(line, " ", 3)
		require.Len(p.t, fields, 3)
		r.Requests++
		if fields[1] != want[n] {
			r.WrongBody++
		}
		if strings.HasPrefix(fields[2], "1 traceparent: 00-") {
			r.Injected++
		}
	}
	require.NoError(p.t, c.cmd.Wait())
	r.Nanoseconds = time.Since(began).Nanoseconds()
	return r
}

func inject(ways ...string) string {
	return "context_propagation: {inject: [" + strings.Join(ways, ", ") + "]}\n"
}

// Every request's span on the server's node is the child of that on the client's,
// whatever carries the context; and nothing arrives other than it was sent.
func TestHops(t *testing.T) {
	groundtruth.Requirements(t, "ip", "python3", "curl")
	for _, ways := range [][]string{{"tcp_option"}, {"http_header"}, {"tcp_option", "http_header"}} {
		t.Run(strings.Join(ways, "+"), func(t *testing.T) {
			p := newPair(t)
			p.watch(inject(ways...), p.a)
			p.watch(inject(ways...), p.b)
			p.serve()
			option := ways[0] == "tcp_option"
			clients := p.clients()
			results := p.run(clients)
			clients = append(clients, client{name: "curl", requests: scale(1000), header: true})
			results["curl"] = p.curl(scale(1000))
			p.t.Logf("%-12s %6d requests in %v, %d with a header", "curl", results["curl"].Requests, time.Duration(results["curl"].Nanoseconds).Round(time.Millisecond), results["curl"].Injected)
			want := 0
			for _, c := range clients {
				r := results[c.name]
				require.NoError(t, r.Err(), c.name)
				require.Equal(t, c.requests, r.Requests, c.name)
				want += c.requests
			}
			hops := p.hops(want)
			p.logContexts()
			for _, c := range clients {
				var complete, children, roots, wrong int
				first := ""
				for n := range c.requests {
					h := hops[fmt.Sprintf("%s/%d", p.url(c.name), n)]
					if h == nil || h.client == nil || h.server == nil {
						continue
					}
					complete++
					switch h.server.ParentID {
					case h.client.SpanID:
						if h.server.TraceID == h.client.TraceID {
							children++
							continue
						}
						wrong++
					case pcommon.SpanID{}:
						roots++
					default:
						wrong++
					}
					if first == "" {
						first = fmt.Sprintf("%s/%d: parent %v of %v, not %v of %v", p.url(c.name), n, h.server.ParentID, h.server.TraceID, h.client.SpanID, h.client.TraceID)
					}
				}
				t.Logf("%-12s %6d requests, %6d seen on both nodes, %6d children, %d roots, %d wrong", c.name, c.requests, complete, children, roots, wrong)
				assert.Equal(t, c.requests, complete, c.name)
				assert.Zero(t, wrong, "%s: %s", c.name, first)
				if option || c.header {
					assert.Equal(t, complete, children, "%s: %s", c.name, first)
				}
			}
		})
	}
}
