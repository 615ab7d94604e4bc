// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
)

// serveVariable makes the test's own program a server: the one written in Go.
const serveVariable = "ENGINE_TEST_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) == "" {
		os.Exit(m.Run())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("listening", l.Addr().(*net.TCPAddr).Port)
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getpid()) }))
}

// backends are those this kernel has.
func backends(t *testing.T, run func(t *testing.T, hooks config.Hooks)) {
	if os.Geteuid() != 0 {
		t.Skip("loads BPF programs: needs root")
	}
	for _, hooks := range []config.Hooks{config.HooksSock, config.HooksSysExit} {
		t.Run(string(hooks), func(t *testing.T) { run(t, hooks) })
	}
}

// observation runs an Engine and keeps what it reports.
type observation struct {
	t      *testing.T
	engine *Engine
	mu     sync.Mutex
	// seen are the servers' spans by path, and whose they are: process.pid and service.
	seen map[string][]server
	// counted are the requests of servers' metrics by service.
	counted map[string]uint64
}

type server struct {
	pid           int
	service, name string
	client        bool
}

func observe(t *testing.T, hooks config.Hooks, view cluster.View, change func(*config.Config)) *observation {
	c := config.Default()
	c.Hooks = hooks
	c.CollectionInterval = 200 * time.Millisecond
	change(c)
	require.NoError(t, c.Validate())
	o := &observation{t: t, seen: map[string][]server{}, counted: map[string]uint64{}}
	o.engine = New(Settings{
		Config: c, Logger: zap.NewNop(), Telemetry: componenttest.NewNopTelemetrySettings(),
		Traces: o.traces, Metrics: o.metrics,
	})
	o.engine.cluster = view
	require.NoError(t, o.engine.Start(t.Context()))
	t.Cleanup(o.stop)
	return o
}

func (o *observation) stop() { assert.NoError(o.t, o.engine.Shutdown(context.Background())) }

func (o *observation) traces(td ptrace.Traces) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, rs := range td.ResourceSpans().All() {
		var s server
		if v, ok := rs.Resource().Attributes().Get("process.pid"); ok {
			s.pid = int(v.Int())
		}
		if v, ok := rs.Resource().Attributes().Get("service.name"); ok {
			s.service = v.Str()
		}
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				path, ok := span.Attributes().Get("url.path")
				if s.client = span.Kind() == ptrace.SpanKindClient; s.client {
					path, ok = span.Attributes().Get("url.full")
				}
				if s.name = span.Name(); ok {
					o.seen[path.Str()] = append(o.seen[path.Str()], s)
				}
			}
		}
	}
}

func (o *observation) metrics(md pmetric.Metrics) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, rm := range md.ResourceMetrics().All() {
		v, _ := rm.Resource().Attributes().Get("service.name")
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				if m.Name() != "http.server.request.duration" {
					continue
				}
				var n uint64
				for _, p := range m.Histogram().DataPoints().All() {
					n += p.Count()
				}
				o.counted[v.Str()] = n
			}
		}
	}
}

// count is the number of servers' spans whose path begins so. Every one has to be of a
// request that was made once.
func (o *observation) count(prefix string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for path, servers := range o.seen {
		if strings.HasPrefix(path, prefix) {
			assert.Len(o.t, servers, 1, path)
			n += len(servers)
		}
	}
	return n
}

// exactly waits until so many spans are there, and then that no more come.
func (o *observation) exactly(want int, prefix string) {
	o.t.Helper()
	assert.Eventually(o.t, func() bool { return o.count(prefix) >= want }, 5*time.Second, 20*time.Millisecond)
	time.Sleep(300 * time.Millisecond) // more than readers and batches wait
	assert.Equal(o.t, want, o.count(prefix), prefix)
}

// counts waits until metrics have counted so many requests of a service.
func (o *observation) counts(want uint64, service string) {
	o.t.Helper()
	counted := func() uint64 {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.counted[service]
	}
	assert.Eventually(o.t, func() bool { return counted() == want }, 5*time.Second, 50*time.Millisecond, "%s: %d of %d", service, counted(), want)
}

// program is a server that was started.
type program struct {
	t    *testing.T
	pid  int
	port int
	at   time.Time // when it said so
}

// start runs a server that says where it listens.
func start(t *testing.T, env []string, argv ...string) *program {
	t.Helper()
	c := exec.Command(argv[0], argv[1:]...)
	c.Env = append(os.Environ(), env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
	})
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan(), argv)
	port, err := strconv.Atoi(strings.TrimPrefix(lines.Text(), "listening "))
	require.NoError(t, err, lines.Text())
	return &program{t, c.Process.Pid, port, time.Now()}
}

const python = "/usr/bin/python3"

// client has a connection of its own.
type client struct {
	*http.Client
	program *program
}

func (p *program) client() *client {
	transport := &http.Transport{MaxConnsPerHost: 1}
	p.t.Cleanup(transport.CloseIdleConnections)
	return &client{&http.Client{Transport: transport, Timeout: 10 * time.Second}, p}
}

// get makes n requests for paths below prefix, and returns who served them.
func (c *client) get(n int, prefix string) (pids map[string]int) {
	c.program.t.Helper()
	pids = map[string]int{}
	for i := range n {
		r, err := c.Get(fmt.Sprintf("http://127.0.0.1:%d%s/%d", c.program.port, prefix, i))
		require.NoError(c.program.t, err)
		body, err := io.ReadAll(r.Body)
		require.NoError(c.program.t, err)
		require.NoError(c.program.t, r.Body.Close())
		pids[string(body)]++
	}
	return pids
}

// fakeView is a cluster whose pods the test changes.
type fakeView struct {
	mu      sync.Mutex
	pods    map[string]*cluster.Pod
	changed []func(uid string)
}

func (v *fakeView) Container(id string) (*cluster.Pod, string, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range v.pods {
		if name, ok := p.Containers[id]; ok {
			return p, name, true
		}
	}
	return nil, "", false
}

func (v *fakeView) Pod(uid string) (*cluster.Pod, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	p, ok := v.pods[uid]
	return p, ok
}

func (v *fakeView) Peer(netip.AddrPort) (cluster.Peer, bool) { return cluster.Peer{}, false }

func (v *fakeView) OnChange(f func(string)) { v.changed = append(v.changed, f) }

// set makes a pod what it is now; nil takes it away.
func (v *fakeView) set(uid string, pod *cluster.Pod) {
	v.mu.Lock()
	if v.pods == nil {
		v.pods = map[string]*cluster.Pod{}
	}
	if pod == nil {
		delete(v.pods, uid)
	} else {
		v.pods[uid] = pod
	}
	v.mu.Unlock()
	for _, f := range v.changed {
		f(uid)
	}
}

// podCgroup makes a cgroup as the kubelet does, for processes that put themselves in it.
func podCgroup(t *testing.T, uid, container string) (procs string) {
	root := ""
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	for line := range bytes.Lines(mounts) {
		if f := bytes.Fields(line); len(f) > 2 && string(f[2]) == "cgroup2" {
			root = string(f[1])
			break
		}
	}
	require.NotEmpty(t, root, "needs a cgroup2 mount")
	top := filepath.Join(root, "kubepods-test-"+strconv.Itoa(os.Getpid()))
	pod := filepath.Join(top, "pod"+uid)
	dir := filepath.Join(pod, container)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	t.Cleanup(func() {
		for _, d := range []string{dir, pod, top} {
			d := d
			// The processes in it are being killed.
			for range 100 {
				if err := os.Remove(d); err == nil || os.IsNotExist(err) || d == top {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	})
	return filepath.Join(dir, "cgroup.procs")
}

// inside is the command line that runs another one in a cgroup.
func inside(procs string, argv ...string) []string {
	return append([]string{"/bin/sh", "-c", `echo $$ > "$0" && exec "$@"`, procs}, argv...)
}

const podUID = "0f9c8a8e-6c0c-4b52-9d7d-2f4f1fd3ce51"

// Opting a namespace in by a label watches what already runs in its pods, connections
// that are open already and forked workers among them; opting out stops that.
func TestOptInAndOut(t *testing.T) {
	backends(t, func(t *testing.T, hooks config.Hooks) {
		container := strings.Repeat("ab", 32)
		pod := func(labels map[string]string) *cluster.Pod {
			return &cluster.Pod{
				UID: podUID, Namespace: "shop", Name: "cart-1", NamespaceLabels: labels,
				Owner: cluster.Owner{Kind: "Deployment", Name: "cart"}, Containers: map[string]string{container: "app"},
			}
		}
		in, out := map[string]string{"observe": "enabled"}, map[string]string{}
		view := &fakeView{}
		o := observe(t, hooks, view, func(c *config.Config) {
			c.Discovery.Include = []config.Rule{{
				K8s:         &config.PodRule{NamespaceLabels: map[string]string{"observe": "enabled"}, OwnerKind: "Deployment", ContainerName: "app"},
				ServiceName: "chosen",
			}}
		})
		procs := podCgroup(t, podUID, container)
		p := start(t, nil, inside(procs, python, "testdata/server.py", "--workers", "2")...)
		alone := start(t, nil, inside(procs, python, "testdata/server.py")...)
		other := start(t, nil, python, "testdata/server.py").client() // in no pod
		// The connections exist before anybody is watched.
		clients := []*client{p.client(), p.client(), p.client(), alone.client()}
		all := func(n int, prefix string) {
			t.Helper()
			for i, c := range clients {
				c.get(n, fmt.Sprintf("%s/%d", prefix, i))
			}
			other.get(n, prefix+"-other")
		}
		all(20, "/unknown")
		o.exactly(0, "/unknown")

		view.set(podUID, pod(out))
		time.Sleep(time.Second)
		all(20, "/before")
		o.exactly(0, "/before")
		for round := range 2 {
			// Another process starts and one is asked while things change.
			view.set(podUID, pod(in))
			changed := time.Now()
			i := 0
			require.Eventually(t, func() bool {
				i++
				clients[i%len(clients)].get(1, fmt.Sprintf("/changing/%d/%d", round, i))
				return o.count(fmt.Sprintf("/changing/%d", round)) > 0
			}, 2*time.Second, 10*time.Millisecond, "nothing is seen 2 s after opting in")
			t.Logf("%v after opting in the first request is seen", time.Since(changed).Round(time.Millisecond))
			time.Sleep(max(0, time.Second-time.Since(changed)))
			inPath := fmt.Sprintf("/in/%d", round)
			all(50, inPath)
			late := start(t, nil, inside(procs, python, "testdata/server.py", "--workers", "1")...)
			late.client().get(20, inPath+"/late") // from its first request on
			o.exactly(50*len(clients)+20, inPath)
			assert.Zero(t, o.count(inPath+"-other"))
			o.mu.Lock()
			for path, servers := range o.seen {
				assert.Equal(t, "chosen", servers[0].service, path)
			}
			o.mu.Unlock()

			view.set(podUID, pod(out))
			time.Sleep(time.Second)
			outPath := fmt.Sprintf("/out/%d", round)
			all(50, outPath)
			late.client().get(20, outPath+"/late")
			o.exactly(0, outPath)
		}
		// A pod that is gone takes what it said along.
		view.set(podUID, pod(in))
		time.Sleep(time.Second)
		view.set(podUID, nil)
		time.Sleep(time.Second)
		all(20, "/gone")
		o.exactly(0, "/gone")
	})
}

// Of processes that are started all at once, exactly those are seen that rules select,
// with forked workers and through chains of programs.
func TestSelectedExactly(t *testing.T) {
	backends(t, func(t *testing.T, hooks config.Hooks) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		port := l.Addr().(*net.TCPAddr).Port
		require.NoError(t, l.Close())
		copied := filepath.Join(t.TempDir(), "copied")
		require.NoError(t, exec.Command("cp", os.Args[0], copied).Run())
		serve := serveVariable + "=1"
		team := func(name string) []string { return []string{"TEAM=" + name} }
		o := observe(t, hooks, nil, func(c *config.Config) {
			c.Discovery.Include = []config.Rule{
				{Exe: copied, ServiceName: "exe", Signals: []config.Signal{config.SignalTraces}},
				{Environment: map[string]string{"TEAM": "pay*"}, ServiceName: "environment"},
				{OpenPorts: strconv.Itoa(port), ServiceName: "ports"},
				{Environment: map[string]string{"TEAM": "sampled"}, ServiceName: "sampled", Sampler: &config.Sampler{Name: config.AlwaysOff}},
				{Environment: map[string]string{"TEAM": "counted"}, ServiceName: "counted", Signals: []config.Signal{config.SignalMetrics}},
				{Environment: map[string]string{"TEAM": "routed"}, ServiceName: "routed", Routes: &config.Routes{Patterns: []string{"/routed/{number}"}}},
			}
			c.Discovery.Exclude = []config.Rule{{Cmdline: "* --wait 0.001*"}}
		})
		for _, c := range []struct {
			name    string
			env     []string
			argv    []string
			traces  bool
			metrics bool
			// pause before its requests: the record that it listens has to be read.
			pause time.Duration
		}{
			{name: "exe", env: []string{serve}, argv: []string{copied}, traces: true},
			{name: "other-exe", env: []string{serve}, argv: []string{os.Args[0]}},
			{name: "environment", env: team("payments"), argv: []string{python, "testdata/server.py"}, traces: true, metrics: true},
			{name: "workers", env: team("pay"), argv: []string{python, "testdata/server.py", "--workers", "3"}, traces: true, metrics: true},
			{name: "chain", argv: []string{"/bin/sh", "-c", "exec env TEAM=payroll sh -c 'exec " + python + " testdata/server.py'"}, traces: true, metrics: true},
			{name: "chain-out", env: team("pay"), argv: []string{"/bin/sh", "-c", "exec env TEAM=ops sh -c 'exec " + python + " testdata/server.py --workers 1'"}},
			{name: "excluded", env: team("pay"), argv: []string{python, "testdata/server.py", "--wait", "0.001", "--workers", "1"}},
			{name: "ports", argv: []string{python, "testdata/server.py", "--port", strconv.Itoa(port), "--wait", "0.7", "--workers", "2"}, traces: true, metrics: true, pause: 100 * time.Millisecond},
			{name: "sampled", env: team("sampled"), argv: []string{python, "testdata/server.py"}, metrics: true},
			{name: "counted", env: team("counted"), argv: []string{python, "testdata/server.py"}, metrics: true},
			{name: "routed", env: team("routed"), argv: []string{python, "testdata/server.py"}, traces: true, metrics: true},
			{name: "nobody", argv: []string{python, "testdata/server.py", "--workers", "2"}},
		} {
			p := start(t, c.env, c.argv...)
			time.Sleep(c.pause)
			const connections, requests = 4, 25
			for i := range connections {
				p.client().get(requests, fmt.Sprintf("/%s/c%d", c.name, i))
			}
			want := 0
			if c.traces {
				want = connections * requests
			}
			o.exactly(want, "/"+c.name+"/")
			switch c.name {
			case "sampled", "counted", "exe":
				expected := uint64(0)
				if c.metrics {
					expected = connections * requests
				}
				o.counts(expected, c.name)
			}
		}
		// The routes of a rule are those of its processes alone.
		p := start(t, team("routed"), python, "testdata/server.py")
		p.client().get(10, "/routed")
		q := start(t, team("pay"), python, "testdata/server.py")
		q.client().get(10, "/routed/not")
		require.Eventually(t, func() bool { return o.count("/routed/not") == 10 && o.count("/routed/") >= 120 }, 5*time.Second, 20*time.Millisecond)
		o.mu.Lock()
		defer o.mu.Unlock()
		assert.Equal(t, "GET /routed/{number}", o.seen["/routed/3"][0].name)
		assert.Equal(t, "GET", o.seen["/routed/not/3"][0].name)
	})
}

// Processes are selected by what they are written in.
func TestSelectedByLanguage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loads BPF programs: needs root")
	}
	// Hooks have nothing to do with languages: one backend is enough.
	const hooks = config.HooksAuto
	dir := t.TempDir()
	nodeServer, javaServer := filepath.Join(dir, "server.js"), filepath.Join(dir, "Server.java")
	require.NoError(t, os.WriteFile(nodeServer, []byte(`
const server = require("http").createServer((_, r) => r.end(String(process.pid)));
server.listen(0, "127.0.0.1", () => console.log("listening " + server.address().port));
`), 0o600))
	require.NoError(t, os.WriteFile(javaServer, []byte(`
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
class Server {
	public static void main(String[] args) throws Exception {
		HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
		server.createContext("/", x -> {
			byte[] body = String.valueOf(ProcessHandle.current().pid()).getBytes();
			x.sendResponseHeaders(200, body.length);
			x.getResponseBody().write(body);
			x.close();
		});
		server.start();
		System.out.println("listening " + server.getAddress().getPort());
	}
}
`), 0o600))
	commands := []struct {
		name string
		env  []string
		argv []string
	}{
		{"go", []string{serveVariable + "=1"}, []string{os.Args[0]}},
		{"python", nil, []string{python, "testdata/server.py"}},
		{"nodejs", nil, []string{"node", nodeServer}},
		{"java", nil, []string{"java", javaServer}},
	}
	for _, selected := range [][]string{{"go", "java"}, {"python", "nodejs"}} {
		o := observe(t, hooks, nil, func(c *config.Config) {
			c.Discovery.Include = []config.Rule{{Language: selected}}
			// This test, the client, is written in Go as well.
			c.Discovery.Exclude = []config.Rule{{PIDs: []int{os.Getpid()}}}
		})
		for _, c := range commands {
			if _, err := exec.LookPath(c.argv[0]); err != nil {
				t.Logf("%s is not installed (testbed/install.sh)", c.argv[0])
				require.NotEqual(t, "true", os.Getenv("CI"))
				continue
			}
			prefix := "/" + selected[0] + "/" + c.name
			start(t, c.env, c.argv...).client().get(30, prefix)
			want := 0
			if c.name == selected[0] || c.name == selected[1] {
				want = 30
			}
			o.exactly(want, prefix)
		}
		o.stop()
	}
}

// Spans of a process that exports its own are left out from then on; what it serves is
// counted all the same, and who passes on the exports of others is no such process.
func TestInstrumented(t *testing.T) {
	backends(t, func(t *testing.T, hooks config.Hooks) {
		modes := []config.Instrumented{config.InstrumentedSkipExporting, config.InstrumentedReport, config.InstrumentedSkipAll}
		if hooks == config.HooksSysExit {
			modes = modes[:1] // what is made of an export does not depend on hooks
		}
		for _, mode := range modes {
			t.Run(string(mode), func(t *testing.T) {
				o := observe(t, hooks, nil, func(c *config.Config) {
					for _, name := range []string{"sdk", "collector", "bystander", "suspect"} {
						c.Discovery.Include = append(c.Discovery.Include, config.Rule{Environment: map[string]string{"TEAM": name}, ServiceName: name})
					}
					c.Discovery.Instrumented = mode
				})
				team := func(name string) []string { return []string{"TEAM=" + name} }
				backend := start(t, nil, python, "testdata/server.py") // not watched
				to := func(p *program) []string {
					return []string{python, "testdata/server.py", "--export", strconv.Itoa(p.port)}
				}
				collector := start(t, team("collector"), to(backend)...)
				sdk := start(t, team("sdk"), to(collector)...).client()
				bystander := start(t, team("bystander"), python, "testdata/server.py").client()
				suspect := start(t, append(team("suspect"), "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"), python, "testdata/server.py").client()

				skipped := map[bool]int{false: 20}
				sdk.get(20, "/before")
				o.exactly(20, "/before")
				sdk.get(1, "/export")
				require.Eventually(t, func() bool { return o.count("/v1/traces") >= 1 }, 5*time.Second, 20*time.Millisecond, "the collector is asked")
				collector.client().get(10, "/collector")
				sdk.get(20, "/after")
				bystander.get(20, "/bystander")
				suspect.get(20, "/suspect")
				o.exactly(10, "/collector")
				o.exactly(20, "/bystander")
				o.exactly(skipped[mode != config.InstrumentedReport], "/after")
				o.exactly(skipped[mode == config.InstrumentedSkipAll], "/suspect")
				o.counts(41, "sdk")
				o.counts(20, "suspect")
			})
		}
	})
}
