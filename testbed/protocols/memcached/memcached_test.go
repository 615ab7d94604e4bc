// SPDX-License-Identifier: Apache-2.0

package memcached

import (
	"fmt"
	"net"
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

// scenario is a client that does n operations on keys "name:0", "name:1"...
type scenario struct {
	name string
	n    int
	argv string
	mode func(j int) []string // what is expected for a key, see outcomes
	old  bool                 // connected before the collector started
	unix bool
}

const (
	goClient = "BUILD/go -case NAME -n COUNT -address ADDRESS "
	pyClient = "BUILD/python/bin/python CLIENTS/python.py --case NAME --n COUNT --address ADDRESS "
)

var scenarios = []scenario{
	{name: "goone", n: 1000, argv: goClient, mode: text("gets", "incr")},
	{name: "gofour", n: 1000, argv: goClient + "-workers 4", mode: text("gets", "incr")},
	{name: "golarge", n: 50, argv: goClient + "-size 1000000", mode: text("gets", "incr")},
	{name: "gounix", n: 200, argv: goClient, unix: true, mode: text("gets", "incr")},
	{name: "goold", n: 500, argv: goClient + "-wait GO", old: true, mode: text("gets", "incr")},
	{name: "pytext", n: 500, argv: pyClient + "--mode pymemcache", mode: text("get", "incr")},
	{name: "pylarge", n: 50, argv: pyClient + "--mode pymemcache --size 1000000", mode: text("get", "incr")},
	{name: "pybinary", n: 500, argv: pyClient + "--mode binary", mode: binary},
	{name: "pybinlarge", n: 50, argv: pyClient + "--mode binary --size 1000000", mode: binary},
	{name: "pybinold", n: 200, argv: pyClient + "--mode binary --wait GO", old: true, mode: binary},
	{name: "metaone", n: 200, argv: pyClient + "--mode meta", mode: meta},
	{name: "metasixteen", n: 800, argv: pyClient + "--mode meta --depth 16", mode: meta},
	{name: "metahundred", n: 1000, argv: pyClient + "--mode meta --depth 100", mode: meta},
	{name: "metaold", n: 320, argv: pyClient + "--mode meta --depth 16 --wait GO", old: true, mode: meta},
}

// outcomes are "operation status hits misses". gets is what asks for several keys.
func text(gets, counts string) func(j int) []string {
	return func(j int) []string {
		return [][]string{{"set   "}, {gets + "  1 1"}, {counts + " NOT_FOUND  "}, {"add   "}, {"delete NOT_FOUND  "}}[j%5]
	}
}

func binary(j int) []string {
	return [][]string{{"getk  1 0", "set   "}, {"getkq  0 1"}, {"get  0 1"}, {"add   "}, {"delete 1  "}}[j%5]
}

func meta(j int) []string {
	return [][]string{{"ms   "}, {"mg  0 1"}, {"mg  0 1"}, {"ms NS  "}, {"md NF  "}}[j%5]
}

func TestGroundTruth(t *testing.T) {
	groundtruth.Requirements(t, "memcached", "python3")
	build := filepath.Join(groundtruth.Root(), "testbed", "_build", "memcached")
	out, err := exec.Command(filepath.Join(groundtruth.Root(), "testbed", "protocols", "memcached", "clients", "build.sh"), build).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, hooks := range protocols.Backends {
		t.Run(hooks, func(t *testing.T) {
			some := scenarios
			if hooks != protocols.Backends[0] {
				some = slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool { return s.n > 500 })
			}
			run(t, hooks, build, some)
		})
	}
}

// start runs memcached.
func start(t *testing.T, argv ...string) *groundtruth.Process {
	t.Helper()
	p, err := groundtruth.Start("/", append([]string{"memcached", "-u", "root", "-t", "2"}, argv...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Stop(0) })
	return p
}

func run(t *testing.T, hooks, build string, scenarios []scenario) {
	variable, value := protocols.Mark(t)
	t.Setenv(variable, value)
	port, err := groundtruth.FreePort()
	require.NoError(t, err)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	dir := t.TempDir()
	socket := filepath.Join(dir, "memcached.sock")
	start(t, "-l", "127.0.0.1", "-p", fmt.Sprint(port), "-I", "2m")
	start(t, "-s", socket, "-I", "2m")
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		_, missing := os.Stat(socket)
		return err == nil && missing == nil
	}, 10*time.Second, 10*time.Millisecond)
	ready := filepath.Join(dir, "go")
	client := func(c scenario) *groundtruth.Process {
		where := address
		if c.unix {
			where = socket
		}
		line := strings.NewReplacer("BUILD", build, "CLIENTS", filepath.Join(groundtruth.Root(), "testbed", "protocols", "memcached", "clients"),
			"NAME", c.name, "COUNT", fmt.Sprint(c.n), "ADDRESS", where, "GO", ready).Replace(c.argv)
		p, err := groundtruth.Start(dir, strings.Fields(line)...)
		require.NoError(t, err)
		return p
	}
	var old []*groundtruth.Process
	for _, c := range scenarios {
		if c.old {
			old = append(old, client(c))
		}
	}
	require.Eventually(t, func() bool { return established(port) >= len(old) }, 10*time.Second, 20*time.Millisecond)
	w := protocols.Observe(t, hooks, fmt.Sprintf("[{environment: {%s: %q}}]", variable, value), "protocols: {memcached: {query_text: raw}}\n")
	require.NoError(t, os.WriteFile(ready, nil, 0o600))
	for _, p := range old {
		require.NoError(t, p.Wait(30*time.Second))
	}
	want := 0
	for _, c := range scenarios {
		want += 2 * c.n
		if !c.old {
			require.NoError(t, client(c).Wait(30*time.Second), c.name)
		}
	}
	// An error.
	raw, err := net.Dial("tcp", address)
	require.NoError(t, err)
	_, err = raw.Write([]byte("incr error:0 x\r\n"))
	require.NoError(t, err)
	_, err = raw.Read(make([]byte, 100))
	require.NoError(t, err)
	raw.Close()

	spans := w.Settled(want)
	byKey := map[string][]*groundtruth.Span{}
	bogus := map[string]int{}
	for _, sp := range spans {
		if sp.Text("db.system.name") != "memcached" {
			bogus[sp.Name]++
			continue
		}
		key := ""
		if words := strings.Fields(sp.Text("db.query.text")); len(words) > 1 && strings.Contains(words[1], ":") {
			key = words[1]
		} else if !slices.Contains([]string{"version", "mn", "noop", "get", "quit"}, sp.Text("db.operation.name")) {
			bogus[sp.Name]++
		}
		byKey[key] = append(byKey[key], sp)
	}
	for _, c := range scenarios {
		check(t, c, port, socket, byKey)
	}
	require.Len(t, byKey["error:0"], 1)
	require.Equal(t, "CLIENT_ERROR", byKey["error:0"][0].Text("error.type"))
	require.Equal(t, ptrace.StatusCodeError, byKey["error:0"][0].Status)
	require.Empty(t, bogus)
	telemetry, err := w.Telemetry(t.Context())
	require.NoError(t, err)
	t.Logf("%s: %d spans; lost: %v", hooks, len(spans), groundtruth.Losses(telemetry))
}

// established counts the connections to a port.
func established(port int) (n int) {
	b, _ := os.ReadFile("/proc/net/tcp")
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) && f[3] == "01" {
			n++
		}
	}
	return n
}

func check(t *testing.T, c scenario, port int, socket string, byKey map[string][]*groundtruth.Span) {
	t.Helper()
	expected, found, wrong, duplicate := 0, 0, 0, 0
	var examples []string
	for j := range c.n {
		key := fmt.Sprintf("%s:%d", c.name, j)
		sides := [2][]string{}
		for _, sp := range byKey[key] {
			side := 0
			if sp.Kind == ptrace.SpanKindServer {
				side = 1
			}
			hits, misses := sp.Text("ebpf.memcached.hits"), sp.Text("ebpf.memcached.misses")
			if c.name == "gofour" && hits+misses == "02" {
				hits, misses = "1", "1" // others may not have stored it yet
			}
			name := fmt.Sprintf("%s 127.0.0.1:%d", sp.Text("db.operation.name"), port)
			if c.unix {
				name = sp.Text("db.operation.name")
			}
			if sp.Name != name || sp.Status != ptrace.StatusCodeUnset || c.unix && sp.Text("server.address") != socket || sp.End < sp.Start {
				wrong++
			}
			sides[side] = append(sides[side], strings.Join([]string{sp.Text("db.operation.name"), sp.Text("db.response.status_code"), hits, misses}, " "))
		}
		want := c.mode(j)
		for side := range sides {
			slices.Sort(sides[side])
			expected += len(want)
			found += min(len(sides[side]), len(want))
			duplicate += max(len(sides[side])-len(want), 0)
			if !slices.Equal(sides[side], want) {
				if len(sides[side]) >= len(want) {
					wrong++
				}
				if len(examples) < 5 {
					examples = append(examples, fmt.Sprintf("%s, side %d: %q, want %q", key, side, sides[side], want))
				}
			}
		}
	}
	t.Logf("%-12s operations %5d, recall %6.2f %%, wrong %d, duplicate %d", c.name, c.n, 100*float64(found)/float64(expected), wrong, duplicate)
	if float64(expected-found) > 0.001*float64(expected) || wrong > 0 || duplicate > 0 {
		t.Errorf("%s: missing %d, wrong %d, duplicate %d\n%s", c.name, expected-found, wrong, duplicate, strings.Join(examples, "\n"))
	}
}
