// SPDX-License-Identifier: Apache-2.0

package privileges

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// owner is the user of the services: nobody's and not the Collector's.
const owner = "4242"

// link is a service of the chain.
type link struct {
	name    string   // service.name, which only its environment tells
	methods []string // one of which has to find its parents
	process *groundtruth.Process
}

// chain of services, of which each asks the next one; the last one asks the test.
type chain struct {
	links     []*link // in the order in which requests come
	container string  // id of that in which Python's is; empty where there are no cgroups
	end       *httptest.Server

	mu sync.Mutex
	// parents are the traceparents that came with requests to the end, by path.
	parents map[string]string
}

// newChain starts one: Go, Node, Python.
func newChain(t *testing.T, dir string) *chain {
	t.Helper()
	c := &chain{parents: map[string]string{}}
	c.end = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.parents[r.URL.Path] = r.Header.Get("traceparent")
	}))
	t.Cleanup(c.end.Close)

	binary := filepath.Join(dir, "forward")
	out, err := exec.Command("go", "build", "-o", binary, "./forward").CombinedOutput()
	require.NoError(t, err, "%s", out)
	// Whoever is not its owner needs a capability to read what Go's structs are like.
	require.NoError(t, os.Chmod(binary, 0o500))
	uid, err := strconv.Atoi(owner)
	require.NoError(t, err)
	require.NoError(t, os.Chown(binary, uid, uid))

	port := c.end.Listener.Addr().(*net.TCPAddr).Port
	start := func(name string, methods []string, cgroup string, argv ...string) {
		prefix := []string{"setpriv", "--pdeathsig", "KILL", "--reuid", owner, "--regid", owner, "--clear-groups", "env",
			"OTEL_SERVICE_NAME=" + name, "OTEL_RESOURCE_ATTRIBUTES=team=blue"}
		if cgroup != "" {
			prefix = append([]string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, cgroup}, prefix...)
		}
		argv = append(append(prefix, argv...), strconv.Itoa(port))
		p, err := groundtruth.StartServer(dir, argv...)
		require.NoError(t, err)
		t.Cleanup(func() { _ = p.Stop(0) })
		port = p.Port
		c.links = append([]*link{{name, methods, p}}, c.links...)
	}
	script := func(name string) string {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, text, 0o644))
		return path
	}
	cgroup := ""
	cgroup, c.container = newContainer(t)
	start("orders-python", []string{"task"}, cgroup, "/usr/bin/python3", script("forward.py"))
	start("basket-node", []string{"event_loop", "connect"}, "", "node", script("forward.js"))
	start("shop-go", []string{"goroutine", "waiting_goroutine", "parent_goroutine"}, "", binary)
	return c
}

// newContainer makes a cgroup as Docker does; empty where cgroup2 is not mounted.
func newContainer(t *testing.T) (cgroup, id string) {
	t.Helper()
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(root + "/cgroup.controllers"); err != nil {
			continue
		}
		b := make([]byte, 32)
		_, _ = rand.Read(b)
		id = hex.EncodeToString(b)
		cgroup = root + "/docker-" + id + ".scope"
		require.NoError(t, os.Mkdir(cgroup, 0o755))
		t.Cleanup(func() {
			// The process in it has been told to end.
			assert.Eventually(t, func() bool { return os.Remove(cgroup) == nil }, 5*time.Second, 10*time.Millisecond)
		})
		return cgroup, id
	}
	return "", ""
}

// ask sends a request through the chain.
func (c *chain) ask(path string) error {
	// A connection of its own for each, so that none waits for another one.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	res, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d%s", c.links[0].process.Port, path))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, res.Status)
	}
	return err
}

// traffic sends requests, eight at a time, under a name, and returns their paths.
func (c *chain) traffic(t *testing.T, name string, n int) (paths []string) {
	t.Helper()
	var wg sync.WaitGroup
	busy := make(chan struct{}, 8)
	for i := range n {
		path := fmt.Sprintf("/%s/%d", name, i)
		paths = append(paths, path)
		wg.Go(func() {
			busy <- struct{}{}
			defer func() { <-busy }()
			assert.NoError(t, c.ask(path))
		})
	}
	wg.Wait()
	return paths
}

// spans are those of a request, by process and kind.
type spanKey struct {
	pid  int
	kind ptrace.SpanKind
}

func spansOf(sink *groundtruth.Sink, path string) map[spanKey]*groundtruth.Span {
	spans := map[spanKey]*groundtruth.Span{}
	for _, s := range sink.Spans() {
		if s.Path() == path {
			spans[spanKey{s.PID(), s.Kind}] = s
		}
	}
	return spans
}

// complete waits until every service has reported both its spans of a request, and
// returns what is wrong with them, and which services' parents were not found.
func (c *chain) complete(ctx context.Context, sink *groundtruth.Sink, path string) (wrong, unfound []string) {
	for {
		spans := spansOf(sink, path)
		wrong, unfound = nil, nil
		missing := false
		var before *groundtruth.Span
		for _, l := range c.links {
			pid := l.process.PID()
			server, client := spans[spanKey{pid, ptrace.SpanKindServer}], spans[spanKey{pid, ptrace.SpanKindClient}]
			if server == nil || client == nil {
				missing = true
				wrong = append(wrong, l.name+": spans are missing")
				continue
			}
			if client.ParentID.IsEmpty() {
				unfound = append(unfound, l.name)
			} else if client.ParentID != server.SpanID || client.TraceID != server.TraceID {
				wrong = append(wrong, l.name+": the client span has another parent than the server span")
			} else if method := client.Text("ebpf.parent.method"); !slices.Contains(l.methods, method) {
				wrong = append(wrong, l.name+": the parent was found by "+method)
			}
			if before != nil && (server.ParentID != before.SpanID || server.TraceID != before.TraceID) {
				wrong = append(wrong, l.name+": the server span has another parent than the caller's")
			}
			before = client
		}
		if !missing {
			return wrong, unfound
		}
		select {
		case <-ctx.Done():
			return wrong, unfound
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// settle sends requests until processes are known for what they are.
func (c *chain) settle(t *testing.T, sink *groundtruth.Sink) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for i := 0; ; i++ {
		path := fmt.Sprintf("/settle/%d", i)
		require.NoError(t, c.ask(path))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		wrong, unfound := c.complete(ctx, sink, path)
		cancel()
		if wrong == nil && unfound == nil {
			return
		}
		require.True(t, time.Now().Before(deadline), "wrong: %v, no parents: %v", wrong, unfound)
	}
}

// check sends requests and compares what is reported with what happened.
func (c *chain) check(t *testing.T, sink *groundtruth.Sink, injected bool) {
	t.Helper()
	c.settle(t, sink)
	paths := c.traffic(t, "order", 40)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	lacking := map[string]int{}
	for _, path := range paths {
		wrong, unfound := c.complete(ctx, sink, path)
		assert.Empty(t, wrong, path)
		for _, name := range unfound {
			lacking[name]++
		}
	}
	// Of Go's, one in two hundred is not found anywhere (testbed/README.md). Without the
	// right to look, nearly all would be.
	for name, n := range lacking {
		assert.LessOrEqual(t, n, 3, "%s: requests without a parent, of %d", name, len(paths))
	}
	for i, l := range c.links {
		span := spansOf(sink, paths[0])[spanKey{l.process.PID(), ptrace.SpanKindServer}]
		if !assert.NotNil(t, span, l.name) {
			continue
		}
		resource := span.Resource.AsRaw()
		assert.Equal(t, l.name, resource["service.name"], "from the environment of another user's process")
		assert.Equal(t, "blue", resource["team"], l.name)
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", l.process.PID()))
		require.NoError(t, err)
		assert.Equal(t, exe, resource["process.executable.path"], l.name)
		if i == len(c.links)-1 && c.container != "" {
			assert.Equal(t, c.container, resource["container.id"], l.name)
		}
	}
	if !injected {
		return
	}
	last := c.links[len(c.links)-1]
	for _, path := range paths {
		span := spansOf(sink, path)[spanKey{last.process.PID(), ptrace.SpanKindClient}]
		c.mu.Lock()
		parent := c.parents[path]
		c.mu.Unlock()
		if assert.NotNil(t, span, path) {
			assert.Equal(t, fmt.Sprintf("00-%s-%s-01", span.TraceID, span.SpanID), parent, "the header that %s got", path)
		}
	}
}
