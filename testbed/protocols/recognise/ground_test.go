// SPDX-License-Identifier: Apache-2.0

package recognise

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

// operation is what a client says of one; see python/clients.py.
type operation struct {
	Token, Span string
	Attributes  map[string]string
}

func command(script string, args ...string) *exec.Cmd {
	root := groundtruth.Root()
	argv := append([]string{filepath.Join(root, "testbed", "protocols", "recognise", "python", script)}, args...)
	return exec.Command(filepath.Join(root, "testbed", "_build", "recognise", "venv", "bin", "python"), argv...)
}

// program is a client or a server that the collector observes.
type program struct {
	cmd  *exec.Cmd
	errs bytes.Buffer
}

func start(t *testing.T, script string, args ...string) (*program, *bufio.Reader) {
	t.Helper()
	p := &program{cmd: command(script, args...)}
	name, value := protocols.Mark(t)
	p.cmd.Env = append(os.Environ(), name+"="+value, "PYTHONDONTWRITEBYTECODE=1", "AWS_EC2_METADATA_DISABLED=true", "NO_PROXY=*")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = &p.errs
	stdin, err := p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	return p, bufio.NewReader(out)
}

// serve starts a server.
func serve(t *testing.T, kind string) (pid int, port string) {
	t.Helper()
	p, out := start(t, "servers.py", kind)
	line, err := out.ReadString('\n')
	require.NoError(t, err, "%s", p.errs.String())
	return p.cmd.Process.Pid, strings.TrimSpace(strings.TrimPrefix(line, "listening "))
}

// run runs a client and returns what it did.
func run(t *testing.T, args ...string) (pid int, done []operation) {
	t.Helper()
	p, out := start(t, "clients.py", args...)
	timer := time.AfterFunc(40*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	d := json.NewDecoder(out)
	for {
		var o operation
		if err := d.Decode(&o); err == io.EOF {
			break
		} else {
			require.NoError(t, err, "%s", p.errs.String())
		}
		done = append(done, o)
	}
	require.NoError(t, p.cmd.Wait(), "%s", p.errs.String())
	require.NotEmpty(t, done)
	return p.cmd.Process.Pid, done
}

var token = regexp.MustCompile(`tok[a-z]+\d+x`)

// tokenOf is what an operation is known by.
func tokenOf(s *groundtruth.Span) string {
	for _, key := range []string{"url.full", "url.path", "url.query"} {
		if t := token.FindString(s.Text(key)); t != "" {
			return t
		}
	}
	return ""
}

// told are the attributes that make a span one of an application.
var told = []string{"db.system.name", "rpc.system.name", "graphql.operation.type", "graphql.operation.name"}

// result counts what is right and wrong.
type result struct {
	expected, found       int
	missing, bogus, wrong []string
}

// compare checks the spans of one end, of which all operations with one token are in a
// row. Spans that say nothing of an application where one is expected are missing.
func compare(done []operation, spans []*groundtruth.Span) *result {
	r := &result{}
	byToken := map[string][]*groundtruth.Span{}
	for _, s := range spans {
		byToken[tokenOf(s)] = append(byToken[tokenOf(s)], s)
	}
	want := map[string][]operation{}
	for _, o := range done {
		want[o.Token] = append(want[o.Token], o)
	}
	for t, list := range byToken {
		if len(want[t]) == 0 {
			for _, s := range list {
				r.bogus = append(r.bogus, s.Name+" "+s.Text("url.full")+s.Text("url.path"))
			}
		}
	}
	for t, operations := range want {
		list := byToken[t]
		slices.SortFunc(list, func(a, b *groundtruth.Span) int { return int(a.Start - b.Start) })
		r.expected += len(operations)
		if len(list) != len(operations) {
			r.missing = append(r.missing, fmt.Sprintf("%s: %d spans of %d", t, len(list), len(operations)))
			continue
		}
		for i, o := range operations {
			s := list[i]
			recognised, expected := false, false
			for _, key := range told {
				recognised = recognised || s.Text(key) != ""
				expected = expected || o.Attributes[key] != ""
			}
			switch {
			case recognised && !expected:
				r.bogus = append(r.bogus, fmt.Sprintf("%s %v", s.Name, s.Attributes.AsRaw()))
				continue
			case !recognised && expected:
				r.missing = append(r.missing, fmt.Sprintf("%s as %s %v", o.Span, s.Name, s.Attributes.AsRaw()))
				continue
			}
			r.found++
			if s.Name != o.Span {
				r.wrong = append(r.wrong, fmt.Sprintf("name %q, expected %q", s.Name, o.Span))
			}
			for key, value := range o.Attributes {
				if s.Text(key) != value {
					r.wrong = append(r.wrong, fmt.Sprintf("%s: %s is %q, expected %q", o.Span, key, s.Text(key), value))
				}
			}
			for key, value := range s.Attributes.All() {
				text := value.AsString()
				if strings.Contains(text, "wJalrXUtnFEMI") || strings.Contains(text, "AKIAIOSFODNN7EXAMPLE") || strings.Contains(text, "Signature=") && !strings.Contains(text, "Signature=REDACTED") {
					r.wrong = append(r.wrong, o.Span+": a secret in "+key)
				}
			}
		}
	}
	return r
}

func verify(t *testing.T, name string, pid int, kind ptrace.SpanKind, done []operation, spans []*groundtruth.Span) {
	t.Helper()
	var own []*groundtruth.Span
	for _, s := range spans {
		if s.PID() == pid && s.Kind == kind {
			own = append(own, s)
		}
	}
	r := compare(done, own)
	t.Logf("%-28s %-6s: expected %4d, found %4d, missing %d, bogus %d, wrong %d", name, kind, r.expected, r.found,
		len(r.missing), len(r.bogus), len(r.wrong))
	some := func(list []string) []string { return list[:min(len(list), 4)] }
	require.NotZero(t, r.expected)
	if float64(r.found) < 0.999*float64(r.expected) {
		t.Errorf("%s: missing: %v", name, some(r.missing))
	}
	for what, list := range map[string][]string{"bogus": r.bogus, "wrong": r.wrong} {
		if len(list) > 0 {
			t.Errorf("%s: %s: %v", name, what, some(list))
		}
	}
}

func TestGroundTruth(t *testing.T) {
	groundtruth.Requirements(t)
	out, err := exec.Command(filepath.Join(groundtruth.Root(), "testbed", "protocols", "recognise", "install.sh")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, c := range []struct {
		backend string
		threads []int
		kinds   []string
	}{
		{"sock", []int{1, 16}, []string{"elasticsearch", "opensearch", "older", "s3", "graphql", "graphql2", "plain"}},
		{"sys_exit", []int{2}, []string{"elasticsearch", "s3", "graphql"}},
	} {
		t.Run(c.backend, func(t *testing.T) { ground(t, c.backend, c.kinds, c.threads) })
	}
}

func ground(t *testing.T, backend string, kinds []string, threads []int) {
	name, value := protocols.Mark(t)
	w := protocols.Observe(t, backend, fmt.Sprintf(`[{environment: {%s: "%s"}}]`, name, value), "")
	type end struct {
		name string
		pid  int
		kind ptrace.SpanKind
		done []operation
	}
	var ends []end
	servers := map[string]*end{}
	ports := map[string]string{}
	want := 0
	for _, kind := range kinds {
		server := strings.TrimSuffix(kind, "2")
		if servers[server] == nil {
			servers[server] = &end{name: server, kind: ptrace.SpanKindServer}
			servers[server].pid, ports[server] = serve(t, server)
		}
		for _, n := range threads {
			prefix := string(rune('a'+len(ends))) + "q"
			pid, done := run(t, kind, ports[server], strconv.Itoa(max(4, 2*n)), strconv.Itoa(n), prefix)
			ends = append(ends, end{fmt.Sprintf("%s, %d threads", kind, n), pid, ptrace.SpanKindClient, done})
			servers[server].done = append(servers[server].done, done...)
			want += 2 * len(done)
		}
	}
	for _, e := range servers {
		ends = append(ends, *e)
	}
	spans := w.Settled(want)
	for _, e := range ends {
		verify(t, e.name, e.pid, e.kind, e.done, spans)
	}
	if telemetry, err := w.Telemetry(t.Context()); err == nil {
		t.Logf("lost: %v", groundtruth.Losses(telemetry))
	}
}
