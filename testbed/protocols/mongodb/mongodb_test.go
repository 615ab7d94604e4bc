// SPDX-License-Identifier: Apache-2.0

// Package mongodb compares what is reported of MongoDB's protocol with what clients did:
// MongoDB's drivers for Go, Python and Node, and a server in Java that speaks the same.
package mongodb

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols/databases"
)

// drivers do this of themselves. Never seen: what is no operation.
func drivers(s *groundtruth.Span) bool {
	for _, name := range []string{"getMore items", "ping", "endSessions", "killCursors"} {
		if strings.HasPrefix(s.Name, name) {
			return true
		}
	}
	return false
}

func TestGroundTruth(t *testing.T) {
	out, err := exec.Command("./build.sh").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for i, hooks := range protocols.Backends {
		t.Run(hooks, func(t *testing.T) { groundTruth(t, hooks, i > 0) })
	}
}

func groundTruth(t *testing.T, hooks string, brief bool) {
	tools := filepath.Join(groundtruth.Root(), "testbed", "_build", "protocols-mongodb")
	groundtruth.Requirements(t, "java", "node", "/usr/lib/python3/dist-packages/pymongo")
	key, value := protocols.Mark(t)
	t.Setenv(key, value)
	server, err := groundtruth.StartServer(t.TempDir(), "java", "-XX:TieredStopAtLevel=1", "-cp", tools+"/server:"+tools+"/server/lib/*", "Server")
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop(0) })
	port := fmt.Sprint(server.Port)
	golang := []string{filepath.Join(tools, "go"), "-address", "127.0.0.1:" + port}
	start := func(name string, argv ...string) *databases.Client { return databases.Start(t, name, argv...) }
	gorun := func(name string, options ...string) *databases.Client {
		return start(name, append(golang, options...)...)
	}
	gorun("setup", "-case", "setup").Wait()
	old := gorun("go, older than we", "-case", "old", "-n", "60", "-c", "4", "-tag", "old")
	old.Ready()

	w := protocols.Observe(t, hooks, fmt.Sprintf(`[{environment: {%s: "%s"}}]`, key, value), "")
	n := "300"
	if brief {
		n = "60"
	}
	old.Go()
	runs := []*databases.Run{
		old.Wait(),
		gorun("go, 1", "-case", "some", "-n", n, "-tag", "g1").Wait(),
		gorun("go, 16", "-case", "some", "-n", n, "-c", "16", "-tag", "g16").Wait(),
		gorun("go, large", "-case", "large", "-n", "10", "-c", "2", "-tag", "l").Wait(),
		start("pymongo", "/usr/bin/python3", "client/client.py", port, "py", n).Wait(),
		start("node, 16", "node", filepath.Join(tools, "client.js"), port, "n", "60", "16").Wait(),
	}
	for _, depth := range []string{"1", "16", "100"} {
		runs = append(runs, gorun("in flight, "+depth, "-case", "pipeline", "-n", "1600", "-c", depth, "-tag", "p"+depth).Wait())
	}
	want := 0
	for _, r := range runs {
		want += 2 * len(r.Operations)
	}
	spans := w.Settled(want)
	e := &databases.Expectation{
		Servers: []int{server.PID()}, Systems: []string{"mongodb"}, ID: databases.IDInText, Other: drivers, Tolerance: 2 * time.Millisecond,
		RowsOptional: func(o *databases.Operation) bool { return strings.HasPrefix(o.Summary, "find id_l_") },
	}
	for _, r := range runs {
		databases.Check(t, r, spans, e)
	}
	for _, s := range spans {
		if s.Text("ebpf.db.query.truncated") == "" { // the name comes last
			require.Equal(t, namespace(s), s.Text("db.namespace"), "%v", s.Attributes.AsRaw())
		}
		require.NotContains(t, []string{"hello", "isMaster", "ismaster"}, s.Text("db.operation.name"))
		require.Less(t, s.End-s.Start, int64(5*time.Second), "nothing waits for a heartbeat")
	}
}

func namespace(s *groundtruth.Span) string {
	if op := s.Text("db.operation.name"); op == "ping" || op == "endSessions" {
		return "admin"
	}
	return "shop"
}
