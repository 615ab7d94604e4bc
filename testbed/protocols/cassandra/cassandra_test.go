// SPDX-License-Identifier: Apache-2.0

// Package cassandra compares what is reported of CQL with what clients did: the drivers
// for Go and Python, and Apache Cassandra, in versions 3 to 5 of the protocol.
package cassandra

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols/databases"
)

// drivers do this of themselves: they ask for the cluster and its schema, and prepare.
func drivers(s *groundtruth.Span) bool {
	return strings.Contains(s.Name, " system") || strings.HasPrefix(s.Name, "USE") || strings.HasPrefix(s.Name, "PREPARE ")
}

func TestGroundTruth(t *testing.T) {
	out, err := exec.Command("./build.sh").CombinedOutput()
	require.NoError(t, err, "%s", out)
	groundtruth.Requirements(t, "java")
	build := filepath.Join(groundtruth.Root(), "testbed", "_build", "protocols-cassandra")
	key, value := protocols.Mark(t)
	t.Setenv(key, value)
	pid, port := start(t, build)
	golang := func(t *testing.T, name string, options ...string) *databases.Client {
		return databases.Start(t, "go, "+name, append([]string{filepath.Join(build, "client"), "-address", "127.0.0.1:" + port}, options...)...)
	}
	golang(t, "setup", "-case", "setup").Wait()
	if *recordTo != "" {
		record(t, build, port)
		return
	}
	for i, hooks := range protocols.Backends {
		t.Run(hooks, func(t *testing.T) {
			python := func(name string, options ...string) *databases.Client {
				return databases.Start(t, "python, "+name, append([]string{filepath.Join(build, "python", "bin", "python"), "client.py", port}, options...)...)
			}
			tag := fmt.Sprint("b", i)
			old := golang(t, "v4, older than we", "-case", "old", "-n", "50", "-c", "4", "-tag", tag+"old")
			old.Ready()
			w := protocols.Observe(t, hooks, fmt.Sprintf(`[{environment: {%s: "%s"}}]`, key, value), "")
			old.Go()
			runs := []*databases.Run{
				old.Wait(),
				golang(t, "v4, 1", "-case", "some", "-n", "200", "-tag", tag+"g1").Wait(),
				golang(t, "v5, 16", "-case", "some", "-version", "5", "-n", "20", "-c", "16", "-tag", tag+"g16").Wait(),
			}
			if i == 0 {
				runs = append(
					runs,
					// Not 100: Netty sends that many frames of version 4 in one call with more
					// buffers than are looked at (KNOWN_ISSUES.md).
					golang(t, "v4, 24", "-case", "some", "-n", "20", "-c", "24", "-tag", "g24").Wait(),
					golang(t, "v5, 100", "-case", "some", "-version", "5", "-n", "10", "-c", "100", "-tag", "f100").Wait(),
					golang(t, "v4, lz4, 16", "-case", "some", "-lz4", "-n", "20", "-c", "16", "-tag", "z4").Wait(),
					golang(t, "v5, lz4, 16", "-case", "some", "-lz4", "-version", "5", "-n", "20", "-c", "16", "-tag", "z5").Wait(),
					golang(t, "v3, 2", "-case", "some", "-version", "3", "-n", "50", "-c", "2", "-tag", "g3").Wait(),
					golang(t, "v4, 1 MB", "-case", "large", "-n", "6", "-tag", "l4").Wait(),
					python("v4", "p4", "60", "4", "none").Wait(),
					python("v5, lz4", "p5", "60", "5", "lz4").Wait(),
				)
			}
			want := 0
			for _, r := range runs {
				want += 2 * len(r.Operations)
			}
			spans := w.Settled(want)
			e := &databases.Expectation{
				Servers: []int{pid}, Systems: []string{"cassandra"}, ID: databases.IDInText, Other: drivers, Tolerance: 2 * time.Millisecond,
				// Threads share connections: what begins a turn for the client may not do so
				// for the server, which knows it by another name then.
				Unjoined: 0.15,
			}
			for _, r := range runs {
				databases.Check(t, r, spans, e)
			}
			for _, s := range spans {
				require.NotContains(t, s.Text("db.query.text"), "secret")
				if s.Kind == ptrace.SpanKindClient && s.Text("db.operation.name") == "SELECT" {
					require.NotEmpty(t, s.Text("cassandra.consistency.level"), "%v", s.Attributes.AsRaw())
				}
			}
		})
	}
}
