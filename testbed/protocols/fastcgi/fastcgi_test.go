// SPDX-License-Identifier: Apache-2.0

package fastcgi

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
)

const script = `<?php
http_response_code((int)$_GET["status"]);
$body = file_get_contents("php://input");
if ($_GET["log"] ?? false) error_log("as told");
echo str_repeat("x", (int)$_GET["size"]);
`

// scenario is n requests, so many at a time, by one of nginx's servers.
type scenario struct {
	name        string
	server      int
	n, parallel int
	size        int // of responses
	post        int // bytes of the request's body
}

// Servers of nginx: how they reach php-fpm.
const (
	tcp = iota
	tcpKeep
	unix
	unixKeep
	servers
)

var scenarios = []scenario{
	{name: "tcp", server: tcp, n: 200, parallel: 1, size: 100},
	{name: "tcpmany", server: tcp, n: 400, parallel: 16, size: 5000},
	{name: "keep", server: tcpKeep, n: 200, parallel: 1, size: 100},
	{name: "keepmany", server: tcpKeep, n: 400, parallel: 16, size: 20000},
	{name: "unix", server: unix, n: 200, parallel: 4, size: 100},
	{name: "unixkeep", server: unixKeep, n: 200, parallel: 4, size: 100},
	// Ends on nginx's side show with the next request only, which is of "post".
	{name: "largekeep", server: tcpKeep, n: 40, parallel: 2, size: 1 << 20},
	{name: "post", server: tcpKeep, n: 100, parallel: 2, size: 100, post: 10000},
	{name: "large", server: tcp, n: 40, parallel: 2, size: 1 << 20},
	{name: "upload", server: tcp, n: 20, parallel: 2, size: 10, post: 1 << 20},
}

func TestGroundTruth(t *testing.T) {
	groundtruth.Requirements(t, "nginx", "/usr/sbin/php-fpm8.2")
	for _, hooks := range protocols.Backends {
		t.Run(hooks, func(t *testing.T) { run(t, hooks) })
	}
}

func ports(t *testing.T, n int) (p []int) {
	for range n {
		port, err := groundtruth.FreePort()
		require.NoError(t, err)
		p = append(p, port)
	}
	return p
}

func run(t *testing.T, hooks string) {
	dir := t.TempDir()
	p := ports(t, servers+1)
	address, socket := fmt.Sprintf("127.0.0.1:%d", p[servers]), filepath.Join(dir, "php.sock")
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	index := write("index.php", script)
	pool := func(name, listen string) string {
		return fmt.Sprintf("[%s]\nuser = root\ngroup = root\nlisten = %s\npm = static\npm.max_children = 20\n", name, listen)
	}
	fpm, err := groundtruth.Start(dir, "/usr/sbin/php-fpm8.2", "-F", "-R", "-y",
		write("fpm.conf", "[global]\nerror_log = "+dir+"/fpm.log\ndaemonize = no\n"+pool("tcp", address)+pool("unix", socket)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = fpm.Stop(0) })
	var conf strings.Builder
	fmt.Fprintf(&conf, `daemon off;
user root;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log warn;
events { worker_connections 1024; }
http {
  access_log off;
  client_max_body_size 10m;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  upstream tcp { server %[2]s; keepalive 20; }
  upstream unix { server unix:%[3]s; keepalive 20; }
`, dir, address, socket)
	for i, upstream := range []string{address, "tcp", "unix:" + socket, "unix"} {
		keep := "off"
		if i == tcpKeep || i == unixKeep {
			keep = "on"
		}
		fmt.Fprintf(&conf, "  server { listen 127.0.0.1:%d; location / { include /etc/nginx/fastcgi_params; fastcgi_param HTTP_HOST $http_host; fastcgi_param SCRIPT_FILENAME %s; fastcgi_pass %s; fastcgi_keep_conn %s; } }\n",
			p[i], index, upstream, keep)
	}
	conf.WriteString("}\n")
	nginx, err := groundtruth.Start(dir, "nginx", "-e", filepath.Join(dir, "error.log"), "-c", write("nginx.conf", conf.String()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = nginx.Stop(0) })
	require.Eventually(t, func() bool {
		for _, a := range []string{address, fmt.Sprintf("127.0.0.1:%d", p[0])} {
			c, err := net.Dial("tcp", a)
			if err != nil {
				return false
			}
			c.Close()
		}
		_, err := os.Stat(socket)
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)

	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 20}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	do := func(c scenario, name string, i int) {
		status := []int{200, 404, 500, 302}[i%4]
		target := fmt.Sprintf("http://127.0.0.1:%d/%s/%d?status=%d&size=%d&log=%d", p[c.server], name, i, status, c.size, i%3)
		method, body := http.MethodGet, io.Reader(nil)
		if c.post > 0 {
			method, body = http.MethodPost, strings.NewReader(strings.Repeat("p", c.post))
		}
		req, err := http.NewRequest(method, target, body)
		if err != nil {
			t.Error(err)
			return
		}
		res, err := client.Transport.RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		n, _ := io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != status || int(n) != c.size {
			t.Errorf("%s: %d, %d bytes", target, res.StatusCode, n)
		}
	}
	// Connections that are older than the collector.
	old := scenario{name: "old", server: tcpKeep, n: 100, parallel: 1, size: 50}
	do(old, "before", 0)
	w := protocols.Observe(t, hooks, `[{exe: "/usr/sbin/php-fpm8.2"}, {exe: "*/nginx"}]`, "")
	all := append([]scenario{old}, scenarios...)
	want := 0
	for _, c := range all {
		want += 3 * c.n // nginx's own server spans are the third
		var g sync.WaitGroup
		for k := range c.parallel {
			g.Go(func() {
				for i := k; i < c.n; i += c.parallel {
					do(c, c.name, i)
				}
			})
		}
		g.Wait()
	}
	byPath := map[string][]*groundtruth.Span{}
	for _, sp := range w.Settled(want) {
		if sp.Text("network.protocol.name") != "fastcgi" {
			require.Equal(t, "1.1", sp.Text("network.protocol.version"), "%s %v", sp.Name, sp.Attributes.AsRaw())
			continue
		}
		path := sp.Text("url.path")
		if sp.Kind == ptrace.SpanKindClient {
			_, rest, _ := strings.Cut(sp.Text("url.full"), "://")
			_, path, _ = strings.Cut(rest, "/")
			path, _, _ = strings.Cut("/"+path, "?")
		}
		byPath[path] = append(byPath[path], sp)
	}
	total := 0
	for _, c := range all {
		total += 2 * c.n
		check(t, c, p, address, socket, byPath)
	}
	n := 0
	for _, spans := range byPath {
		n += len(spans)
	}
	require.LessOrEqual(t, n, total, "bogus spans")
	telemetry, err := w.Telemetry(t.Context())
	require.NoError(t, err)
	t.Logf("%s: %d spans of FastCGI; lost: %v", hooks, n, groundtruth.Losses(telemetry))
}

func check(t *testing.T, c scenario, p []int, address, socket string, byPath map[string][]*groundtruth.Span) {
	t.Helper()
	found, wrong, duplicate, sized := 0, 0, 0, 0
	var examples []string
	for i := range c.n {
		path := fmt.Sprintf("/%s/%d", c.name, i)
		status := []int64{200, 404, 500, 302}[i%4]
		var sides [2]int
		for _, sp := range byPath[path] {
			side := 0
			state := ptrace.StatusCodeUnset
			if sp.Kind == ptrace.SpanKindServer {
				side = 1
			}
			if status >= 500 || status >= 400 && side == 0 {
				state = ptrace.StatusCodeError
			}
			sides[side]++
			server := fmt.Sprintf("127.0.0.1:%d", p[c.server])
			got := sp.Text("server.address") + ":" + sp.Text("server.port")
			if side == 0 {
				if server = address; c.server == unix || c.server == unixKeep {
					server = socket + ":"
				}
			}
			code, _ := sp.Int("http.response.status_code")
			size, known := sp.Int("http.response.body.size")
			if known {
				sized++
			}
			method := "GET"
			if c.post > 0 {
				method = "POST"
			}
			if code != status || sp.Status != state || got != server || known && size != int64(c.size) || sp.Text("http.request.method") != method || sp.End < sp.Start {
				wrong++
				if len(examples) < 5 {
					examples = append(examples, fmt.Sprintf("%s side %d: %d %s %s, %d bytes", path, side, code, sp.Status, got, size))
				}
			}
		}
		for side, n := range sides {
			if n == 0 && len(examples) < 5 {
				examples = append(examples, fmt.Sprintf("%s: no span of side %d", path, side))
			}
			found += min(n, 1)
			duplicate += max(n-1, 0)
		}
	}
	t.Logf("%-10s requests %4d, recall %6.2f %%, wrong %d, duplicate %d, size known of %d spans", c.name, c.n, 100*float64(found)/float64(2*c.n), wrong, duplicate, sized)
	if float64(2*c.n-found) > 0.001*float64(2*c.n) || wrong > 0 || duplicate > 0 {
		t.Errorf("%s: missing %d, wrong %d, duplicate %d\n%s", c.name, 2*c.n-found, wrong, duplicate, strings.Join(examples, "\n"))
	}
}
