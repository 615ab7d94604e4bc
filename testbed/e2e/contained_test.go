// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// served prints its process id, serves HTTP and calls itself as often as its second
// argument says, by paths that begin with the first.
const served = `
import http.client, http.server, os, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(os.getpid(), flush=True)
client = http.client.HTTPConnection("127.0.0.1", server.server_port)
for i in range(int(sys.argv[2])):
    client.request("GET", f"{sys.argv[1]}/{i}")
    client.getresponse().read()
`

// A Collector in a pid namespace of its own, as a sidecar that shares its pod's, knows
// the processes in there by the ids they have there, and no others.
func TestContained(t *testing.T) {
	groundtruth.Requirements(t, "python3", "nsenter", "mount")
	const n = 20
	for _, hooks := range []string{"sock", "sys_exit"} {
		for rules, receiver := range map[string]string{
			"default": "",
			"include": "discovery: {include: [{cmdline: \"*/in *\", service_name: inside}]}",
			"exclude": "discovery: {exclude: [{cmdline: \"*/out *\"}]}",
		} {
			t.Run(hooks+"/"+rules, func(t *testing.T) {
				sink, err := groundtruth.NewSink()
				require.NoError(t, err)
				defer sink.Close()
				collector, err := groundtruth.StartCollector(groundtruth.CollectorOptions{
					Hooks: hooks, Endpoint: sink.Endpoint(), Dir: t.TempDir(), Receiver: receiver, Contained: true,
				})
				require.NoError(t, err)
				defer func() { require.NoError(t, collector.Stop()) }()
				require.Eventually(t, func() bool { return strings.Contains(collector.Log(), "eBPF capture started") },
					20*time.Second, 10*time.Millisecond, "%s", collector.Log())
				run := func(path string, prefix ...string) int64 {
					out, err := exec.Command("env", append(prefix, "python3", "-c", served, path, fmt.Sprint(n))...).Output()
					require.NoError(t, err)
					pid, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
					require.NoError(t, err)
					return pid
				}
				pid := run("/in", "nsenter", "--target", fmt.Sprint(collector.PID()), "--pid", "--mount")
				run("/out")
				require.Eventually(t, func() bool { return len(sink.Spans()) >= 2*n }, 10*time.Second, 20*time.Millisecond)
				time.Sleep(time.Second) // for more than that
				seen := map[string]int{}
				for _, s := range sink.Spans() {
					path := s.Path()
					require.True(t, strings.HasPrefix(path, "/in/"), "%s, which is outside", path)
					seen[fmt.Sprint(s.Kind, path)]++
					got, ok := s.Resource.Get("process.pid")
					require.True(t, ok)
					require.Equal(t, pid, got.Int())
					if rules == "include" {
						name, _ := s.Resource.Get("service.name")
						require.Equal(t, "inside", name.Str())
					}
				}
				require.Len(t, seen, 2*n)
				require.Len(t, sink.Spans(), 2*n)
			})
		}
	}
}
