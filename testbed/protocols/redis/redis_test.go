// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
)

// scenario is a client that does n operations: SET, MGET, EVAL that fails with an error of
// its own and INCR, in turns, on keys "name:0", "name:1"... The error's code is made from
// the key, so a wrong pair shows.
type scenario struct {
	name   string
	n      int
	argv   string
	old    bool // connected before the collector started
	queued bool // in transactions
	unix   bool
}

const (
	goClient = "BUILD/go -case NAME -n COUNT -address ADDRESS "
	pyClient = "BUILD/python/bin/python CLIENTS/python.py --case NAME --n COUNT --address ADDRESS "
	jsClient = "node BUILD/node/client.js --case=NAME --n=COUNT --address=ADDRESS "
)

var scenarios = []scenario{
	{name: "goone", n: 400, argv: goClient + "-depth 1 -workers 4"},
	{name: "gotwo", n: 400, argv: goClient + "-depth 2 -protocol 2"},
	{name: "gosixteen", n: 800, argv: goClient + "-depth 16 -workers 2"},
	{name: "gohundred", n: 2000, argv: goClient + "-depth 100 -workers 2"},
	{name: "gothousand", n: 4000, argv: goClient + "-depth 1000"},
	{name: "gotx", n: 160, argv: goClient + "-depth 16 -tx", queued: true},
	{name: "gounix", n: 400, argv: goClient + "-network unix -depth 4", unix: true},
	{name: "golarge", n: 40, argv: goClient + "-size 1048576"},
	{name: "golargepipe", n: 320, argv: goClient + "-size 12000 -depth 16"},
	{name: "gohugepipe", n: 64, argv: goClient + "-size 200000 -depth 16"},
	{name: "nodehugepipe", n: 64, argv: jsClient + "--size=200000 --mode=node-redis --workers=16"},
	{name: "gomegapipe", n: 64, argv: goClient + "-size 1048576 -depth 16"},
	{name: "gotenpipe", n: 400, argv: goClient + "-size 10000 -depth 100"},
	{name: "pymegapipe", n: 64, argv: pyClient + "--size 1048576 --depth 16"},
	{name: "pytenpipe", n: 400, argv: pyClient + "--size 10000 --depth 100"},
	{name: "iomegapipe", n: 64, argv: jsClient + "--size=1048576 --workers=16 --mode=auto"},
	{name: "iotenpipe", n: 400, argv: jsClient + "--size=10000 --workers=100 --mode=auto"},
	{name: "nodemegapipe", n: 64, argv: jsClient + "--size=1048576 --workers=16 --mode=node-redis"},
	{name: "goold", n: 400, argv: goClient + "-depth 1 -workers 1 -wait GO", old: true},
	{name: "gooldpipe", n: 800, argv: goClient + "-depth 16 -wait GO", old: true},
	{name: "pyone", n: 200, argv: pyClient + "--depth 1 --protocol 3"},
	{name: "pyhundred", n: 1000, argv: pyClient + "--depth 100"},
	{name: "pylarge", n: 24, argv: pyClient + "--size 1048576"},
	{name: "pyasync", n: 800, argv: pyClient + "--depth 4 --mode asyncio --workers 8"},
	{name: "pyold", n: 200, argv: pyClient + "--depth 2 --wait GO", old: true},
	{name: "ioredis", n: 1000, argv: jsClient + "--workers=16"},
	{name: "ioauto", n: 1000, argv: jsClient + "--workers=100 --mode=auto"},
	{name: "iounix", n: 200, argv: "node BUILD/node/client.js --case=NAME --n=COUNT --address=ADDRESS --network=unix", unix: true},
	{name: "nodelarge", n: 40, argv: jsClient + "--size=1048576 --mode=node-redis"},
	{name: "nodethree", n: 1000, argv: jsClient + "--workers=16 --mode=node-redis"},
	{name: "ioold", n: 400, argv: jsClient + "--workers=1 --wait=GO", old: true},
}

func TestGroundTruth(t *testing.T) {
	groundtruth.Requirements(t, "redis-server", "redis-cli", "redis-benchmark", "node", "npm", "python3")
	build := filepath.Join(groundtruth.Root(), "testbed", "_build", "redis")
	out, err := exec.Command(filepath.Join(groundtruth.Root(), "testbed", "protocols", "redis", "clients", "build.sh"), build).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, hooks := range protocols.Backends {
		t.Run(hooks, func(t *testing.T) {
			some := scenarios
			if hooks != protocols.Backends[0] {
				some = slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool { return s.name == "gothousand" || strings.HasPrefix(s.name, "py") })
			}
			run(t, hooks, build, some)
		})
	}
}

// server is a redis-server of the test.
type server struct {
	*groundtruth.Process
	port   int
	socket string
}

func (s *server) address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func startServer(t *testing.T, more ...string) *server {
	t.Helper()
	dir := t.TempDir()
	port, err := groundtruth.FreePort()
	require.NoError(t, err)
	s := &server{port: port, socket: filepath.Join(dir, "redis.sock")}
	argv := append([]string{
		"redis-server", "--bind", "127.0.0.1", "--port", fmt.Sprint(port), "--unixsocket", s.socket, "--save", "", "--dir", dir, "--daemonize", "no",
		"--logfile", filepath.Join(dir, "log"),
	}, more...)
	s.Process, err = groundtruth.Start(dir, argv...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Stop(0) })
	require.Eventually(t, func() bool {
		return exec.Command("redis-cli", "-p", fmt.Sprint(port), "ping").Run() == nil
	}, 10*time.Second, 20*time.Millisecond)
	return s
}

func run(t *testing.T, hooks, build string, scenarios []scenario) {
	variable, value := protocols.Mark(t)
	t.Setenv(variable, value)
	s := startServer(t)
	other := startServer(t, "--cluster-enabled", "yes")
	node := startServer(t, "--cluster-enabled", "yes")
	dir := t.TempDir()
	ready := filepath.Join(dir, "go")
	start := func(c scenario) *groundtruth.Process {
		address := s.address()
		if c.unix {
			address = s.socket
		}
		line := strings.NewReplacer("BUILD", build, "CLIENTS", filepath.Join(groundtruth.Root(), "testbed", "protocols", "redis", "clients"),
			"NAME", c.name, "COUNT", fmt.Sprint(c.n), "ADDRESS", address, "GO", ready).Replace(c.argv)
		p, err := groundtruth.Start(dir, strings.Fields(line)...)
		require.NoError(t, err)
		return p
	}
	var old []*groundtruth.Process
	connected := func() int {
		out, _ := exec.Command("redis-cli", "-p", fmt.Sprint(s.port), "client", "list").Output()
		return strings.Count(string(out), "\n")
	}
	sockets := 1
	for _, c := range scenarios {
		if c.old {
			old = append(old, start(c))
			sockets++
		}
	}
	require.Eventually(t, func() bool { return connected() >= sockets }, 10*time.Second, 20*time.Millisecond)

	// Servers overwrite their environment with a title.
	w := protocols.Observe(t, hooks, fmt.Sprintf("[{environment: {%s: %q}}, {exe: \"*/redis-cli\"}, {exe: \"*/redis-benchmark\"}, {pids: [%d, %d, %d]}]", variable, value, s.PID(), other.PID(), node.PID()), "protocols: {redis: {query_text: raw}}\n")
	require.NoError(t, os.WriteFile(ready, nil, 0o600))
	for _, p := range old {
		require.NoError(t, p.Wait(30*time.Second))
	}
	want := 0
	for _, c := range scenarios {
		want += 2 * c.n
		if !c.old {
			require.NoError(t, start(c).Wait(30*time.Second), c.name)
		}
	}
	benchmarks(t, s)
	special(t, s)
	cluster(t, other, node)

	spans := w.Settled(want)
	byKey := map[string][]*groundtruth.Span{}
	bogus := map[string]int{}
	for _, sp := range spans {
		if sp.Text("db.system.name") != "redis" {
			bogus[sp.Name]++
			continue
		}
		key := keyOf(sp.Text("db.query.text"))
		byKey[key] = append(byKey[key], sp)
		if key == "" && !setup(sp.Text("db.operation.name")) {
			bogus[sp.Name]++
		}
	}
	for _, c := range scenarios {
		check(t, c, s, byKey)
	}
	checkBenchmarks(t, byKey)
	checkSpecial(t, s, byKey)
	checkCluster(t, byKey, other, node)
	require.Empty(t, bogus)
	telemetry, err := w.Telemetry(t.Context())
	require.NoError(t, err)
	t.Logf("%s: %d spans; lost: %v", hooks, len(spans), groundtruth.Losses(telemetry))
}

// setup are the commands that clients send of their own accord.
func setup(operation string) bool {
	return slices.Contains([]string{"HELLO", "CLIENT SETINFO", "CLIENT MAINT_NOTIFICATIONS", "CLIENT TRACKING", "PING", "INFO", "QUIT", "MULTI", "EXEC", "COMMAND DOCS", "CLIENT LIST", "CONFIG GET", "CLUSTER", "CLUSTER MEET", "CLUSTER INFO", "CLUSTER ADDSLOTSRANGE", "SUBSCRIBE", "AUTH", "CLIENT SETNAME", "SELECT"}, operation)
}

// keyOf finds the word with the name of a case.
func keyOf(text string) string {
	for word := range strings.FieldsSeq(text) {
		if name, _, ok := strings.Cut(word, ":"); ok && len(name) > 0 && len(name) < 20 && !strings.ContainsAny(name, `"\.`) {
			return word
		}
	}
	return ""
}

func check(t *testing.T, c scenario, s *server, byKey map[string][]*groundtruth.Span) {
	t.Helper()
	found, missing, wrong, duplicate := 0, 0, 0, 0
	var examples []string
	complain := func(format string, args ...any) {
		if len(examples) < 5 {
			examples = append(examples, fmt.Sprintf(format, args...))
		}
	}
	for j := range c.n {
		key := fmt.Sprintf("%s:%d", c.name, j)
		var sides [2]int
		for _, sp := range byKey[key] {
			side := 0
			if sp.Kind == ptrace.SpanKindServer {
				side = 1
			}
			sides[side]++
			operation, status, code := []string{"SET", "MGET", "EVAL", "INCR"}[j%4], ptrace.StatusCodeUnset, ""
			if j%4 == 2 && !c.queued {
				status, code = ptrace.StatusCodeError, "E"+strings.ToUpper(c.name)+fmt.Sprint(j)
			}
			queued := ""
			if c.queued {
				queued = "true"
			}
			namespace := "0"
			if c.old && sp.Text("db.namespace") == "" {
				namespace = "" // not known of connections older than the collector
			}
			address, transport := "127.0.0.1", ""
			name := fmt.Sprintf("%s 127.0.0.1:%d", operation, s.port)
			if c.unix {
				address, transport, name = s.socket, "unix", operation
			}
			got := []string{
				sp.Text("db.operation.name"), sp.Text("db.response.status_code"), sp.Text("error.type"), sp.Text("ebpf.redis.queued"), sp.Text("db.namespace"),
				sp.Text("server.address"), sp.Text("network.transport"), sp.Name,
			}
			expected := []string{operation, code, code, queued, namespace, address, transport, name}
			if sp.Status != status || !slices.Equal(got, expected) || sp.End < sp.Start {
				wrong++
				complain("%s: %v, want %v: %.100s", key, got, expected, sp.Text("db.query.text"))
			}
		}
		for side, n := range sides {
			switch {
			case n == 0:
				missing++
				complain("%s: no span of side %d", key, side)
			default:
				found++
				duplicate += n - 1
			}
		}
	}
	t.Logf("%-12s operations %5d, recall %6.2f %%, wrong %d, duplicate %d", c.name, c.n, 100*float64(found)/float64(2*c.n), wrong, duplicate)
	if float64(missing) > 0.001*float64(2*c.n) || wrong > 0 || duplicate > 0 {
		t.Errorf("%s: missing %d, wrong %d, duplicate %d\n%s", c.name, missing, wrong, duplicate, strings.Join(examples, "\n"))
	}
}

var depths = []int{1, 16, 100}

const requests = 3000

// benchmarks runs redis-benchmark with pipelines.
func benchmarks(t *testing.T, s *server) {
	for _, p := range depths {
		out, err := exec.Command("redis-benchmark", "-p", fmt.Sprint(s.port), "-P", fmt.Sprint(p), "-n", fmt.Sprint(requests), "-c", "4", "-q",
			"SETRANGE", fmt.Sprintf("bench:%d", p), "0", "x").CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

func checkBenchmarks(t *testing.T, byKey map[string][]*groundtruth.Span) {
	for _, p := range depths {
		n := map[ptrace.SpanKind]int{}
		for _, sp := range byKey[fmt.Sprintf("bench:%d", p)] {
			n[sp.Kind]++
			require.Equal(t, ptrace.StatusCodeUnset, sp.Status)
		}
		t.Logf("redis-benchmark -P %d: %d requests, client %d, server %d", p, requests, n[ptrace.SpanKindClient], n[ptrace.SpanKindServer])
		for _, kind := range []ptrace.SpanKind{ptrace.SpanKindClient, ptrace.SpanKindServer} {
			require.GreaterOrEqual(t, n[kind], requests)
			require.LessOrEqual(t, n[kind], requests+100) // it rounds up to whole pipelines
		}
	}
}

// special does what the other clients do not, with redis-cli.
func special(t *testing.T, s *server) {
	cli := func(input string, argv ...string) {
		c := exec.Command("redis-cli", append([]string{"-p", fmt.Sprint(s.port)}, argv...)...)
		c.Stdin = strings.NewReader(input)
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	cli("BLPOP special:1 0.1\nSELECT 3\nSET special:2 1\nLPUSH special:3 a\nGET special:3\nAUTH special:9\nCLIENT SETNAME special:8\n" +
		"HGETALL special:4\nXREAD BLOCK 100 STREAMS special:5 0\nNOSUCHCOMMAND special:6\n")
	cli("SELECT 99\nHGETALL special:7\n", "-3")
	// A subscriber, and somebody who publishes.
	c := exec.Command("redis-cli", "-p", fmt.Sprint(s.port), "subscribe", "special:10")
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	defer func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}()
	b := make([]byte, 100)
	_, err = out.Read(b)
	require.NoError(t, err)
	for range 5 {
		cli("PUBLISH special:10 hello\n")
	}
	time.Sleep(10 * time.Millisecond) // the messages arrive: no span may come of it
}

func checkSpecial(t *testing.T, s *server, byKey map[string][]*groundtruth.Span) {
	for key, want := range map[string]struct {
		n                           int
		name, namespace, code, wait string
	}{
		"special:1": {2, "BLPOP", "0", "", "true"}, "special:2": {2, "SET", "3", "", ""}, "special:3": {4, "", "3", "", ""},
		"special:4": {2, "HGETALL", "3", "", ""}, "special:5": {2, "XREAD", "3", "", "true"}, "special:6": {2, "NOSUCHCOMMAND", "3", "ERR", ""},
		"special:7": {2, "HGETALL", "0", "", ""}, "special:8": {}, "special:9": {},
		"special:10": {12, "", "0", "", ""},
	} {
		spans := byKey[key]
		require.Len(t, spans, want.n, key)
		for _, sp := range spans {
			if want.name != "" {
				require.Equal(t, fmt.Sprintf("%s 127.0.0.1:%d", want.name, s.port), sp.Name)
			}
			require.Equal(t, want.namespace, sp.Text("db.namespace"), "%s %s", key, sp.Name)
			require.Equal(t, want.wait, sp.Text("ebpf.db.blocking"))
			if want.name != "" {
				require.Equal(t, want.code, sp.Text("db.response.status_code"))
			}
			if want.wait != "" {
				require.GreaterOrEqual(t, time.Duration(sp.End-sp.Start), 90*time.Millisecond)
			}
		}
	}
	t.Logf("redis-cli: blocking, databases, errors, RESP3, pub/sub: right")
}

// cluster makes two nodes that redirect.
func cluster(t *testing.T, a, b *server) {
	do := func(s *server, args ...string) string {
		out, err := exec.Command("redis-cli", append([]string{"-p", fmt.Sprint(s.port)}, args...)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	do(a, "cluster", "addslotsrange", "0", "8191")
	do(b, "cluster", "addslotsrange", "8192", "16383")
	do(a, "cluster", "meet", "127.0.0.1", fmt.Sprint(b.port))
	require.Eventually(t, func() bool {
		return strings.Contains(do(a, "cluster", "info"), "cluster_state:ok") && strings.Contains(do(b, "cluster", "info"), "cluster_state:ok")
	}, 15*time.Second, 50*time.Millisecond)
	for i := range 20 {
		do(a, "get", fmt.Sprintf("cluster:%d", i))
	}
}

func checkCluster(t *testing.T, byKey map[string][]*groundtruth.Span, a, b *server) {
	moved := 0
	for i := range 20 {
		spans := byKey[fmt.Sprintf("cluster:%d", i)]
		require.Len(t, spans, 2)
		for _, sp := range spans {
			if sp.Text("db.response.status_code") != "" {
				moved++
				require.Equal(t, "MOVED", sp.Text("db.response.status_code"))
				require.Equal(t, b.address(), sp.Text("ebpf.redis.redirect"))
			}
		}
	}
	require.Greater(t, moved, 4)
	require.Less(t, moved, 36)
	t.Logf("cluster: %d of 40 spans MOVED", moved)
}
