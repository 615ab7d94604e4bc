// SPDX-License-Identifier: Apache-2.0

// Package dns_test compares what is reported of DNS with what was asked.
package dns_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
)

// question is one of whom how many spans of a kind are expected.
type question struct {
	name, kind string
	role       ptrace.SpanKind
}

// truth of a run.
type truth map[question]int

func (t truth) ask(name, kind string, n int) {
	t[question{name, kind, ptrace.SpanKindClient}] += n
	t[question{name, kind, ptrace.SpanKindServer}] += n
}

func run(t *testing.T, ns string, argv ...string) {
	t.Helper()
	out, err := exec.Command("ip", append([]string{"netns", "exec", ns}, argv...)...).CombinedOutput()
	require.NoError(t, err, "%v: %s", argv, out)
}

func TestGroundTruth(t *testing.T) {
	groundtruth.Requirements(t, "ip", "/usr/sbin/dnsmasq", "dig", "getent", "python3")
	dir := t.TempDir()
	resolver := filepath.Join(dir, "resolve")
	build := exec.Command("go", "build", "-o", resolver, "./resolve")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, hooks := range protocols.Backends {
		t.Run(hooks, func(t *testing.T) { groundTruth(t, hooks, resolver) })
	}
}

// groundTruth runs everything in a network namespace, so that the system's own resolver
// can be given a server.
func groundTruth(t *testing.T, hooks, resolver string) {
	ns := fmt.Sprintf("dnstest%d", os.Getpid())
	require.NoError(t, exec.Command("ip", "netns", "add", ns).Run())
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	etc := "/etc/netns/" + ns
	require.NoError(t, os.MkdirAll(etc, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(etc) })
	require.NoError(t, os.WriteFile(filepath.Join(etc, "resolv.conf"), []byte("nameserver 127.0.0.1\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(etc, "nsswitch.conf"), []byte("hosts: dns\n"), 0o644))
	require.NoError(t, exec.Command("ip", "-n", ns, "link", "set", "lo", "up").Run())

	server := func(argv ...string) *groundtruth.Process {
		p, err := groundtruth.Start(t.TempDir(), append([]string{"ip", "netns", "exec", ns}, argv...)...)
		require.NoError(t, err)
		t.Cleanup(func() { _ = p.Stop(0) })
		return p
	}
	server("/usr/sbin/dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--listen-address=127.0.0.1", "--bind-interfaces",
		"--user=root", "--dns-forward-max=1000", "--address=/dns.test/10.1.2.3", "--local=/none.test/")
	server("python3", "-c", "import socket,time\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.bind(('127.0.0.2',53))\ntime.sleep(1000)")
	require.Eventually(t, func() bool {
		return exec.Command("ip", "netns", "exec", ns, "dig", "+tries=1", "+timeout=1", "@127.0.0.1", "before.dns.test", "+short").Run() == nil
	}, 10*time.Second, 50*time.Millisecond)

	w := protocols.Observe(t, hooks, `[{exe: "*/dnsmasq"}, {exe: "*/dig"}, {exe: "*/getent"}, {exe: "*/python3*"}, {exe: "`+resolver+`"}]`, "protocols: {http: {enabled: false}}")
	want := truth{}
	script := filepath.Join(groundtruth.Root(), "testbed", "protocols", "dns", "burst.py")
	for _, mode := range []string{"connected", "unconnected", "fresh", "tcp"} {
		for _, depth := range []int{1, 2, 16, 100} {
			if mode == "fresh" && depth > 1 {
				continue
			}
			prefix := fmt.Sprintf("%s-%d", mode, depth)
			count := 200
			if mode == "tcp" {
				count = 100 // dnsmasq answers no more on one connection
			}
			run(t, ns, "python3", script, "127.0.0.1", prefix, fmt.Sprint(count), fmt.Sprint(depth), mode)
			for n := range count {
				want.ask(fmt.Sprintf("%s-%d.dns.test", prefix, n), "A", 1)
			}
		}
	}
	run(t, ns, resolver, "go", "300")
	for n := range 300 {
		want.ask(fmt.Sprintf("go-%d.dns.test", n), "A", 1)
	}
	for n := range 20 {
		name := fmt.Sprintf("getent-%d.dns.test", n)
		run(t, ns, "getent", "ahosts", name)
		want.ask(name, "A", 1)
		want.ask(name, "AAAA", 1)
	}
	run(t, ns, "dig", "+tcp", "@127.0.0.1", "dig.dns.test", "A")
	want.ask("dig.dns.test", "A", 1)
	run(t, ns, "dig", "@127.0.0.1", "x.none.test", "MX")
	want.ask("x.none.test", "MX", 1)
	_ = exec.Command("ip", "netns", "exec", ns, "dig", "+tries=2", "+timeout=1", "@127.0.0.2", "silent.dns.test", "A").Run()
	want[question{"silent.dns.test", "A", ptrace.SpanKindClient}] = 2

	total := 0
	for _, n := range want {
		total += n
	}
	w.Settled(total - 2)
	// Unanswered ones are reported five to ten seconds after they were sent.
	var spans []*groundtruth.Span
	require.Eventually(t, func() bool {
		spans = w.Sink.Spans()
		n := 0
		for _, s := range spans {
			if s.Text("dns.question.name") == "silent.dns.test" {
				n++
			}
		}
		return n == 2
	}, 20*time.Second, 100*time.Millisecond)

	got := truth{}
	parents := map[string]int{}
	for _, s := range spans {
		name := s.Text("dns.question.name")
		q := question{name, s.Text("ebpf.dns.question.type"), s.Kind}
		got[q]++
		parents[s.Text("network.transport")]++
		failure, code, answers := s.Text("error.type"), s.Text("ebpf.dns.response.code"), s.Text("dns.answers")
		switch {
		case name == "silent.dns.test":
			assert.Equal(t, "timeout", failure)
			assert.Empty(t, code)
		case strings.HasSuffix(name, "none.test"):
			assert.Equal(t, "NXDOMAIN", code)
			assert.Equal(t, map[ptrace.SpanKind]string{ptrace.SpanKindClient: "NXDOMAIN", ptrace.SpanKindServer: ""}[s.Kind], failure)
		case q.kind == "AAAA": // dnsmasq knows none, and nobody to ask
			assert.Equal(t, "REFUSED", code, name)
			assert.Equal(t, "REFUSED", failure, name)
		default:
			assert.Equal(t, "NOERROR", code, name)
			assert.Empty(t, failure, name)
			assert.Equal(t, `["10.1.2.3"]`, answers, name)
			assert.Less(t, s.End-s.Start, int64(time.Second), name)
			assert.Positive(t, s.End-s.Start, name)
		}
		assert.Equal(t, "DNS "+q.kind, s.Name)
		if s.Kind == ptrace.SpanKindClient && !strings.HasPrefix(name, "unconnected") {
			assert.NotNil(t, net.ParseIP(s.Text("server.address")), name)
			assert.Equal(t, "53", s.Text("server.port"), name)
		}
	}
	missing, bogus := 0, 0
	for q, n := range want {
		if got[q] < n {
			missing += n - got[q]
			t.Logf("missing: %v", q)
		}
	}
	for q, n := range got {
		if n > want[q] {
			bogus += n - want[q]
			t.Logf("bogus: %v", q)
		}
	}
	t.Logf("%s: %d spans expected, recall %.3f %%, bogus %d, by transport %v", hooks, total, 100*float64(total-missing)/float64(total), bogus, parents)
	require.LessOrEqual(t, float64(missing), float64(total)/1000)
	require.Zero(t, bogus)
	durations := 0
	for _, p := range w.Sink.Points("dns.lookup.duration") {
		durations += int(p.Count)
	}
	t.Logf("%d lookups in dns.lookup.duration", durations)
	require.Positive(t, durations)
}
