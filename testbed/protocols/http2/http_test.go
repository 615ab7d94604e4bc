// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
)

func TestGroundTruthHTTP(t *testing.T) {
	groundtruth.Requirements(t, "nginx", "h2load", "nghttpd", "curl")
	install(t)
	// nginx writes over its environment.
	w := protocols.Observe(t, "sock", strings.Replace(discovery(t), "[", `[{exe: "*/nginx"}, `, 1), "")
	s := serve(t, truth("http-server")...)
	pairs := []pairOf{
		{"net/http, 1 stream", truth, truth, "http", "get,coded,post", 1, 60},
		{"net/http, 2 streams", truth, truth, "http", "get,coded,post", 2, 60},
		{"net/http, 16 streams", truth, truth, "http", "get,coded,post", 16, 200},
		{"net/http, 100 streams", truth, truth, "http", "get,coded,post", 100, 400},
		{"net/http, long headers", truth, truth, "http", "longheader", 2, 20},
	}
	var all []*expectation
	want := 0
	for i := range pairs {
		all = append(all, pairs[i].run(t, s, i))
	}
	all = append(all, &expectation{name: "net/http", pid: s.pid(), calls: s.end()})
	for _, e := range all {
		want += len(e.calls)
	}

	var counts []*counted
	servers := map[string]*program{"nginx": startNginx(t), "nghttpd": startNghttpd(t)}
	for _, name := range []string{"nginx", "nghttpd"} {
		s := servers[name]
		onServer := &counted{name: name, pid: s.pid()}
		if name == "nginx" {
			children, err := groundtruth.Children(s.pid())
			require.NoError(t, err)
			require.Len(t, children, 1)
			onServer.pid = children[0]
		}
		for _, streams := range []int{1, 2, 16, 100} {
			c := h2load(t, s.port, streams, 2000)
			c.name = fmt.Sprintf("h2load to %s, %d streams", name, streams)
			counts = append(counts, c)
			onServer.ok += c.ok
			onServer.missing += c.missing
		}
		for _, args := range [][]string{{"curl", "-sS", "--http2-prior-knowledge", "-o", "/dev/null"}, {"nghttp", "-n"}} {
			p := start(t, append(args, fmt.Sprintf("http://127.0.0.1:%d/index.html", s.port))...)
			p.wait()
			counts = append(counts, &counted{name: args[0] + " to " + name, client: true, pid: p.pid(), ok: 1})
			onServer.ok++
		}
		counts = append(counts, onServer)
	}
	for _, c := range counts {
		want += c.ok + c.missing
	}

	// The answer to a request that upgrades comes in HTTP/2.
	up := serve(t, truth("h2c-server")...)
	for n, args := range [][]string{{"curl", "-sS", "--http2", "-o", "/dev/null"}, {"nghttp", "-u", "-n"}} {
		path := fmt.Sprintf("/truth/coded/up-%d", n*7) // 200, 418
		p := start(t, append(args, "http://"+up.target()+path)...)
		p.wait()
		e := &expectation{name: args[0] + ", upgraded", pid: p.pid(), client: true, calls: []call{{Path: path, Code: []string{"200", "418"}[n]}}}
		e.calls[0].Start, e.calls[0].End = time.Now().Add(-time.Minute).UnixNano(), time.Now().UnixNano()
		all = append(all, e)
	}
	all = append(all, &expectation{name: "net/http, upgraded", pid: up.pid(), calls: up.end()})
	want += 4
	spans := w.Settled(want)
	losses(t, w)
	for _, e := range all {
		verify(t, e, spans)
	}
	for _, c := range counts {
		c.verify(t, spans)
	}
}

// counted is a process of which only is known how many requests it made or answered:
// with 200, and with 404.
type counted struct {
	name        string
	client      bool
	pid         int
	ok, missing int
}

func (c *counted) verify(t *testing.T, spans []*groundtruth.Span) {
	t.Helper()
	kind := ptrace.SpanKindServer
	if c.client {
		kind = ptrace.SpanKindClient
	}
	ok, missing, wrong := 0, 0, []string(nil)
	for _, s := range spans {
		if s.PID() != c.pid || s.Kind != kind {
			continue
		}
		path, code := pathOf(s)
		switch {
		case s.Text("network.protocol.version") != "2" || s.Text("http.request.method") != "GET":
			wrong = append(wrong, fmt.Sprintf("%s %s version %q", s.Name, path, s.Text("network.protocol.version")))
		case path == "/index.html" && code == "200":
			ok++
		case path == "/missing" && code == "404":
			missing++
		default:
			wrong = append(wrong, path+" "+code)
		}
	}
	t.Logf("%-34s expected %5d and %5d, found %5d and %5d, wrong %d", c.name, c.ok, c.missing, ok, missing, len(wrong))
	assert.Empty(t, wrong[:min(len(wrong), 5)], c.name)
	assert.LessOrEqual(t, ok, c.ok, c.name)
	assert.LessOrEqual(t, missing, c.missing, c.name)
	assert.GreaterOrEqual(t, float64(ok+missing), 0.999*float64(c.ok+c.missing), c.name)
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := groundtruth.FreePort()
	require.NoError(t, err)
	return port
}

func listening(t *testing.T, port int) {
	t.Helper()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			c.Close()
		}
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
}

func startNginx(t *testing.T) *program {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	port := freePort(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.html"), []byte(strings.Repeat("hello\n", 100)), 0o644))
	config := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log; user root;
events { worker_connections 512; }
http { access_log off; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s;
scgi_temp_path %[1]s; keepalive_requests 1000000; http2_max_concurrent_streams 128;
server { listen 127.0.0.1:%[2]d http2; root %[1]s; } }
`, dir, port)
	path := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o644))
	p := start(t, "/usr/sbin/nginx", "-p", dir, "-c", path, "-e", filepath.Join(dir, "error.log"))
	p.port = port
	listening(t, port)
	return p
}

func startNghttpd(t *testing.T) *program {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.html"), []byte(strings.Repeat("hello\n", 100)), 0o644))
	port := freePort(t)
	p := start(t, "nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", dir, "-m", "128", strconv.Itoa(port))
	p.port = port
	listening(t, port)
	return p
}

var succeeded = regexp.MustCompile(`status codes: (\d+) 2xx, \d+ 3xx, (\d+) 4xx`)

// h2load makes so many requests on two connections.
func h2load(t *testing.T, port, streams, requests int) *counted {
	t.Helper()
	url := fmt.Sprintf("http://127.0.0.1:%d/", port)
	p := start(t, "h2load", "-n", strconv.Itoa(requests), "-c", "2", "-m", strconv.Itoa(streams), url+"index.html", url+"missing")
	text := p.wait()
	m := succeeded.FindStringSubmatch(text)
	require.Len(t, m, 3, text)
	ok, _ := strconv.Atoi(m[1])
	missing, _ := strconv.Atoi(m[2])
	require.Equal(t, requests, ok+missing, text)
	return &counted{client: true, pid: p.pid(), ok: ok, missing: missing}
}

// On a connection that is older than the collector, what can be known is reported, and
// nothing else.
func TestGroundTruthOlder(t *testing.T) {
	groundtruth.Requirements(t)
	install(t)
	s := serve(t, truth("grpc-server")...)
	hs := serve(t, truth("http-server")...)
	waiting := func(mode, target, kinds string) *program {
		p := start(t, truth(mode, "-target", target, "-name", "older", "-streams", "8", "-count", "200", "-kinds", kinds, "-wait")...)
		for {
			line, err := p.lines.ReadString('\n')
			require.NoError(t, err)
			if line == "waiting\n" {
				return p.collect()
			}
		}
	}
	g := waiting("grpc-client", s.target(), ordinary)
	h := waiting("http-client", hs.target(), "get,coded,post")
	w := protocols.Observe(t, "sock", discovery(t), "")
	_, _ = g.stdin.Write([]byte("\n"))
	_, _ = h.stdin.Write([]byte("\n"))
	all := []*expectation{
		{name: "grpc-go, older", pid: g.pid(), client: true, calls: g.end()},
		{name: "net/http, older", pid: h.pid(), client: true, calls: h.end()},
		{name: "grpc-go, older", pid: s.pid(), calls: s.end()},
		{name: "net/http, older", pid: hs.pid(), calls: hs.end()},
	}
	spans := w.Settled(3000)
	losses(t, w)
	for _, e := range all {
		r := compare(e, spans)
		t.Logf("%-34s client %v: made %5d, found %5d, bogus %d, duplicates %d, wrong %d", e.name, e.client, r.expected, r.found,
			len(r.bogus), len(r.duplicates), len(r.wrong))
		require.Empty(t, r.bogus)
		require.Empty(t, r.duplicates)
		require.Empty(t, r.wrong[:min(len(r.wrong), 5)])
		if strings.HasPrefix(e.name, "net/http") {
			// Paths are new and statuses in the static table; names of gRPC's fields
			// went by before.
			require.NotZero(t, r.found)
		}
	}
}
