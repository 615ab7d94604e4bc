// SPDX-License-Identifier: Apache-2.0

// Package postgresql compares what is reported of PostgreSQL with what real clients did
// on a real server: psql, pgbench, pgx, psycopg, psycopg2 and node-postgres.
package postgresql

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
)

// nobody is who runs the server: it refuses root.
const nobody = 65534

// server is a running PostgreSQL with a database "test".
type server struct {
	t    *testing.T
	bin  string
	dir  string // of data and of the socket
	port int
	mark string
}

func (s *server) tcp() string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=tester dbname=test", s.port)
}
func (s *server) unix() string {
	return fmt.Sprintf("host=%s port=%d user=tester dbname=test", s.dir, s.port)
}
func (s *server) url() string { return fmt.Sprintf("postgres://tester@127.0.0.1:%d/test", s.port) }

// discovery selects the clients, and the server: its processes write their titles over
// their environment.
func (s *server) discovery() string {
	variable, value := protocols.Mark(s.t)
	return fmt.Sprintf("[{environment: {%s: %q}}, {exe: %q}]", variable, value, filepath.Join(s.bin, "postgres"))
}

// command runs under observation.
func (s *server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	variable, _ := protocols.Mark(s.t)
	cmd.Env = append(os.Environ(), variable+"="+s.mark, "PGCONNECT_TIMEOUT=10")
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	cmd.Stderr = os.Stderr
	return cmd
}

func start(t *testing.T) *server {
	t.Helper()
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	require.NoError(t, err)
	require.NotEmpty(t, bins, "postgresql is not installed: testbed/install.sh")
	s := &server{t: t, bin: filepath.Dir(bins[len(bins)-1])}
	_, s.mark = protocols.Mark(t)
	s.dir, err = os.MkdirTemp("", "pg")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(s.dir) })
	require.NoError(t, os.Chown(s.dir, nobody, nobody))
	as := func(cmd *exec.Cmd) *exec.Cmd {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		cmd.Dir = s.dir
		return cmd
	}
	data := filepath.Join(s.dir, "data")
	initdb := as(s.command(filepath.Join(s.bin, "initdb"), "-D", data, "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"))
	out, err := initdb.Output()
	require.NoError(t, err, "%s", out)
	s.port, err = groundtruth.FreePort()
	require.NoError(t, err)
	cmd := as(s.command(filepath.Join(s.bin, "postgres"), "-D", data, "-p", strconv.Itoa(s.port), "-k", s.dir, "-c", "listen_addresses=127.0.0.1",
		"-c", "fsync=off", "-c", "max_connections=200", "-c", "log_min_messages=panic", "-c", "shared_buffers=32MB", "-c", "autovacuum=off"))
	log, err := os.Create(filepath.Join(t.TempDir(), "postgres.log"))
	require.NoError(t, err)
	cmd.Stderr = log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
		log.Close()
	})
	require.Eventually(t, func() bool {
		return exec.Command(filepath.Join(s.bin, "pg_isready"), "-q", "-h", s.dir, "-p", strconv.Itoa(s.port)).Run() == nil
	}, 20*time.Second, 20*time.Millisecond)
	for _, c := range [][]string{{"postgres", "CREATE DATABASE test"}, {"test", "CREATE TABLE items (id serial, v text)"}} {
		out, err := exec.Command("psql", "-q", "-h", s.dir, "-p", strconv.Itoa(s.port), "-U", "tester", "-d", c[0], "-c", c[1]).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	return s
}

// operation is what a client says it did.
type operation struct {
	marker string
	rows   int64 // -1: not to be compared
	code   string
}

func parse(t *testing.T, out string) []operation {
	t.Helper()
	var all []operation
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		require.Len(t, f, 3, line)
		rows, err := strconv.ParseInt(f[1], 10, 64)
		require.NoError(t, err)
		all = append(all, operation{f[0], rows, f[2]})
	}
	return all
}

var markers = regexp.MustCompile(`op_[A-Za-z0-9_]+`)

// markerOf is what a span is known by.
func markerOf(s *groundtruth.Span) string {
	text := s.Text("db.query.text")
	if m := markers.FindString(text); m != "" {
		return m
	}
	if s.Text("ebpf.db.query.unknown") != "" {
		return "unprepared"
	}
	if strings.HasPrefix(text, "COPY items") {
		return "copyin"
	}
	if strings.Contains(text, "pgbench_accounts") {
		return "pgbench"
	}
	first, _, _ := strings.Cut(s.Text("db.query.summary"), " ")
	return first
}

var cases = regexp.MustCompile(`^op_[a-z0-9]+_[a-z0-9]+_[0-9]+`)

func caseOf(marker string) string {
	if m := cases.FindString(marker); m != "" {
		return m
	}
	return marker
}

type report struct{ expected, found, bogus, wrong int }

// compare finds each operation once on each side.
func (s *server) compare(t *testing.T, operations []operation, spans []*groundtruth.Span) {
	t.Helper()
	reports := map[string]*report{}
	of := func(marker string) *report {
		r := reports[caseOf(marker)]
		if r == nil {
			r = &report{}
			reports[caseOf(marker)] = r
		}
		return r
	}
	type key struct {
		marker string
		kind   ptrace.SpanKind
	}
	found := map[key][]*groundtruth.Span{}
	clients := map[string]string{} // span id -> marker
	secrets := 0
	for _, x := range spans {
		m := markerOf(x)
		found[key{m, x.Kind}] = append(found[key{m, x.Kind}], x)
		if x.Kind == ptrace.SpanKindClient {
			clients[x.SpanID.String()] = m
		}
		for k, v := range x.Attributes.All() {
			if strings.Contains(v.AsString(), "secret") {
				secrets++
				t.Errorf("%s=%.300s", k, v.AsString())
			}
		}
	}
	var problems []string
	problem := func(format string, args ...any) {
		if len(problems) < 20 {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	expected := map[string][]operation{}
	for _, o := range operations {
		expected[o.marker] = append(expected[o.marker], o)
	}
	for marker, want := range expected {
		for _, kind := range []ptrace.SpanKind{ptrace.SpanKindClient, ptrace.SpanKindServer} {
			got := found[key{marker, kind}]
			r := of(marker)
			r.expected += len(want)
			r.found += min(len(got), len(want))
			if n := len(got) - len(want); n > 0 {
				r.bogus += n
				problem("%s: %d of %s too many: %v", kind, n, marker, got[0].Attributes.AsRaw())
			} else if n < 0 {
				problem("%s: %d of %s are missing", kind, -n, marker)
			}
			for _, x := range got {
				if bad := s.check(x, want[0]); bad != "" {
					r.wrong++
					problem("%s %s: %s: %v", kind, marker, bad, x.Attributes.AsRaw())
				}
			}
		}
	}
	for k, got := range found {
		if len(expected[k.marker]) == 0 {
			of("bogus").bogus += len(got)
			problem("%s: bogus %s: %v", k.kind, k.marker, got[0].Attributes.AsRaw())
		}
	}
	joined, servers := 0, 0
	for _, x := range spans {
		if x.Kind != ptrace.SpanKindServer {
			continue
		}
		servers++
		if m, ok := clients[x.ParentID.String()]; ok {
			joined++
			if m != markerOf(x) {
				of(m).wrong++
				problem("server's %s has client's %s as parent", markerOf(x), m)
			}
		}
	}
	names := make([]string, 0, len(reports))
	total := report{}
	for name, r := range reports {
		names = append(names, name)
		total.expected += r.expected
		total.found += r.found
		total.bogus += r.bogus
		total.wrong += r.wrong
	}
	sort.Strings(names)
	for _, name := range names {
		r := reports[name]
		t.Logf("%-28s expected %6d found %6d bogus %d wrong %d", name, r.expected, r.found, r.bogus, r.wrong)
	}
	t.Logf("%-28s expected %6d found %6d (%.3f %%) bogus %d wrong %d; %d of %d server spans joined with the client's", "total",
		total.expected, total.found, 100*float64(total.found)/float64(total.expected), total.bogus, total.wrong, joined, servers)
	for _, p := range problems {
		t.Log(p)
	}
	require.GreaterOrEqual(t, float64(total.found), 0.999*float64(total.expected))
	require.Zero(t, total.bogus, "bogus spans")
	require.Zero(t, total.wrong, "wrong spans")
}

// check compares one span with the operation; "" if it is right.
func (s *server) check(x *groundtruth.Span, o operation) string {
	code, failed := x.Text("db.response.status_code"), o.code != "-"
	if o.code == "pipeline_aborted" {
		if x.Text("error.type") != o.code {
			return "error.type"
		}
		return ""
	}
	switch {
	case failed && (code != o.code || x.Text("error.type") != o.code || x.Status != ptrace.StatusCodeError):
		return "not failed as it should"
	case !failed && (code != "" || x.Text("error.type") != "" || x.Status == ptrace.StatusCodeError):
		return "failed"
	case x.Text("db.system.name") != "postgresql":
		return "db.system.name"
	case o.marker != "unprepared" && !strings.HasPrefix(o.marker, "op_old") && x.Text("db.namespace") != "test":
		return "db.namespace"
	case o.marker != "unprepared" && x.Name != x.Text("db.query.summary"):
		return "name"
	case x.Text("db.operation.name") != "" && o.marker != "unprepared" || x.Text("db.collection.name") != "":
		return "operation or collection"
	case x.End < x.Start:
		return "times"
	}
	if rows, ok := x.Int("db.response.returned_rows"); !failed && o.rows >= 0 && (!ok || rows != o.rows) && !(strings.Contains(o.marker, "_big_") && !ok) {
		// Behind a large value the rows need not have been seen.
		return fmt.Sprintf("rows are %d", o.rows)
	}
	return ""
}

func TestGroundTruth(t *testing.T) {
	out, err := exec.Command("./build.sh").CombinedOutput() // before the lock is taken
	require.NoError(t, err, "%s", out)
	groundtruth.Requirements(t, "psql", "node", "npm", "python3")
	for _, hooks := range protocols.Backends {
		t.Run(hooks, func(t *testing.T) { run(t, hooks, hooks == protocols.Backends[0]) })
	}
}

func run(t *testing.T, hooks string, long bool) {
	s := start(t)
	build, err := filepath.Abs("../../_build/protocols-postgresql")
	require.NoError(t, err)
	client := filepath.Join(build, "client")
	output := func(cmd *exec.Cmd) string {
		t.Helper()
		begun := time.Now()
		out, err := cmd.Output()
		require.NoError(t, err, "%s", out)
		t.Logf("%s: %.1fs", filepath.Base(cmd.Path), time.Since(begun).Seconds())
		return string(out)
	}
	var operations []operation

	// Connections from before, with statements prepared before.
	old := s.command(client, "-url", s.url(), "-label", "old", "-wait", "simple:2:80", "exec:2:80", "pipeline:16:160", "batch:100:200")
	stdin, err := old.StdinPipe()
	require.NoError(t, err)
	stdout, err := old.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, old.Start())
	from := bufio.NewReader(stdout)
	line, err := from.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)

	w := protocols.Observe(t, hooks, s.discovery(), "")
	_, err = stdin.Write([]byte("\n"))
	require.NoError(t, err)
	var text strings.Builder
	_, err = from.WriteTo(&text)
	require.NoError(t, err)
	require.NoError(t, old.Wait())
	operations = append(operations, parse(t, text.String())...)

	run := func(cmd *exec.Cmd) { operations = append(operations, parse(t, output(cmd))...) }
	if long {
		run(s.command(client, "-url", s.url(), "simple:1:400", "simple:16:1600", "exec:1:400", "exec:16:1600", "prepare:1:200", "prepare:16:800",
			"batch:1:100", "batch:2:200", "batch:16:800", "batch:100:2000", "pipeline:1:100", "pipeline:2:400", "pipeline:16:1600", "pipeline:100:3000",
			"big:1:40", "big:4:40", "copy:1:4", "cancel:1:3"))
		run(s.command(filepath.Join(build, "python/bin/python"), "python/client.py", s.tcp(), "plain:1:200", "psycopg2:1:200", "transaction:1:50",
			"pipeline:2:100", "pipeline:16:320", "pipeline:100:500", "prepared:1:100", "aborted:1:20", "cursor:1:10"))
		run(s.command(filepath.Join(build, "python/bin/python"), "python/client.py", s.unix(), "plain:2:100", "pipeline:17:170"))
		node := s.command("node", "node/client.js", s.url(), "simple:1:100", "simple:16:320", "extended:1:100", "extended:16:320", "named:2:100", "big:2:40")
		node.Env = append(node.Env, "PG_MODULE="+filepath.Join(build, "node/node_modules/pg"))
		run(node)
	} else {
		run(s.command(client, "-url", s.url(), "simple:1:80", "exec:16:320", "batch:100:500", "pipeline:16:320", "big:1:16"))
	}

	// psql, with both kinds of sockets.
	for i, conninfo := range []string{s.tcp(), s.unix()} {
		marker := fmt.Sprintf("op_psql_%d_0", i)
		psql := s.command("psql", "-X", "-q", "-A", "-t", conninfo)
		psql.Stdin = strings.NewReader(fmt.Sprintf("SELECT 'secret' AS %[1]s_a FROM generate_series(1, 9);\nSELECT 1/0 AS %[1]s_b;\nBEGIN; SELECT 1 AS %[1]s_c; COMMIT;\nSELECT pg_sleep(0.2) AS %[1]s_e;\nSELECT g AS %[1]s_d FROM generate_series(1, 100000) g;\nSELECT pg_sleep(0.3) AS %[1]s_f;\n", marker))
		psql.Stderr = nil
		output(psql)
		operations = append(operations, operation{marker + "_a", 9, "-"}, operation{marker + "_b", 0, "22012"}, operation{marker + "_c", 1, "-"},
			operation{marker + "_e", 1, "-"}, // by then the kernel knows how much is to be copied
			operation{marker + "_d", 100000, "-"}, operation{marker + "_f", 1, "-"}, operation{"BEGIN", -1, "-"}, operation{"COMMIT", -1, "-"})
	}
	spans := w.Settled(2 * len(operations))
	lost(t, w)
	s.compare(t, operations, spans)
}

// lost logs what the collector says it lost.
func lost(t *testing.T, w *protocols.Watch) {
	t.Helper()
	telemetry, err := w.Telemetry(t.Context())
	require.NoError(t, err)
	for name, v := range telemetry {
		if v > 0 && (strings.Contains(name, "lost") || strings.Contains(name, "mismatch") || strings.Contains(name, "resync") || strings.Contains(name, "unmatched") || strings.Contains(name, "invalid") || strings.Contains(name, "unknown") || strings.Contains(name, "fail") || strings.Contains(name, "refused") || strings.Contains(name, "evict")) {
			t.Log(name, v)
		}
	}
}

// TestPgbench counts the transactions of pgbench in all of its modes.
func TestPgbench(t *testing.T) {
	groundtruth.Requirements(t, "psql")
	s := start(t)
	bench := func(args ...string) {
		cmd := s.command(filepath.Join(s.bin, "pgbench"), append(args, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-U", "tester", "test")...)
		cmd.Stderr = nil
		out, err := cmd.Output()
		require.NoError(t, err, "%s", out)
	}
	bench("-i", "-q")
	w := protocols.Observe(t, "", s.discovery(), "")
	const clients, transactions = 16, 200
	want := 0
	for _, mode := range []string{"simple", "extended", "prepared"} {
		// At a rate at which it takes a second: see KNOWN_ISSUES.md about processes that
		// are gone before they are looked at.
		bench("-n", "-S", "-R", "3000", "-M", mode, "-c", strconv.Itoa(clients), "-j", "2", "-t", strconv.Itoa(transactions))
		want += clients * transactions
	}
	got := map[ptrace.SpanKind]int{}
	for _, x := range w.Settled(2 * want) {
		if x.Text("db.query.summary") != "SELECT pgbench_accounts" {
			continue // it asks for its tables first
		}
		got[x.Kind]++
		rows, _ := x.Int("db.response.returned_rows")
		require.Equal(t, int64(1), rows)
		require.Contains(t, []string{"SELECT abalance FROM pgbench_accounts WHERE aid = ?;", "SELECT abalance FROM pgbench_accounts WHERE aid = $1;"}, x.Text("db.query.text"))
	}
	t.Logf("transactions %d, client spans %d, server spans %d", want, got[ptrace.SpanKindClient], got[ptrace.SpanKindServer])
	require.Equal(t, want, got[ptrace.SpanKindClient])
	require.Equal(t, want, got[ptrace.SpanKindServer])
}
