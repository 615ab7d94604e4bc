// SPDX-License-Identifier: Apache-2.0

package peers_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
)

// scenario is a client that makes requests. Those that carry a name have to have spans with
// that name as server.address.
type scenario struct {
	name, argv string
	rounds     int
	// requests of each round.
	requests int
	// resolver are options of resolv.conf.
	resolver string
	// unsure: of names that lead to the same address there may be spans with the address:
	// the client looks several up at once, or remembers what it looked up. Never with the
	// other name.
	unsure bool
}

// shared are names that lead to one address.
var shared = map[string]bool{"one.peers.test": true, "two.peers.test": true}

var (
	// Alternately, so that the same address is talked to by two names.
	all   = "redis:cache.peers.test:R pg:db.peers.test:P redis:one.peers.test:R redis:two.peers.test:R pg:one.peers.test:P pg:two.peers.test:P redis:turns.peers.test:R pg:turns.peers.test:P redis:alias.peers.test:R http:cache.peers.test:H redis:both.peers.test:R pg:both.peers.test:P"
	redis = "redis:cache.peers.test:R redis:one.peers.test:R redis:two.peers.test:R redis:turns.peers.test:R redis:alias.peers.test:R"
	apart = "redis:cache.peers.test:R pg:db.peers.test:P redis:turns.peers.test:R pg:alias.peers.test:P redis:db.peers.test:R pg:cache.peers.test:P redis:both.peers.test:R"
)

var scenarios = []scenario{
	{name: "go", argv: "BUILD/client COUNT " + all, rounds: 20, requests: 24},
	{name: "go-at-once", argv: "BUILD/client COUNT -at-once " + apart, rounds: 40, requests: 7},
	{name: "go-shared-at-once", argv: "BUILD/client COUNT -at-once redis:one.peers.test:R redis:two.peers.test:R", rounds: 50, requests: 2, unsure: true},
	{name: "go-tcp", argv: "BUILD/client COUNT " + redis, rounds: 10, requests: 10, resolver: "use-vc"},
	{name: "python", argv: "PYTHON SOURCE/client.py COUNT " + all, rounds: 10, requests: 24},
	{name: "python-tcp", argv: "PYTHON SOURCE/client.py COUNT " + redis, rounds: 10, requests: 10, resolver: "use-vc"},
	{name: "asyncio", argv: "PYTHON SOURCE/client.py COUNT --asyncio " + redis, rounds: 20, requests: 5},
	{name: "node", argv: "node SOURCE/client.js COUNT " + all, rounds: 10, requests: 24},
	{name: "node-cares", argv: "node SOURCE/client.js COUNT --cares " + redis, rounds: 20, requests: 10},
	{name: "java", argv: "java -cp BUILD -Dsun.net.inetaddr.ttl=0 Client COUNT " + all, rounds: 10, requests: 24},
	{name: "java-remembers", argv: "java -cp BUILD Client COUNT " + all, rounds: 10, requests: 24, unsure: true},
	{name: "curl", argv: "curl -sf --http1.0 -H Host: http://one.peers.test:H/asked/one.peers.test http://two.peers.test:H/asked/two.peers.test http://alias.peers.test:H/asked/alias.peers.test", rounds: 1, requests: 3},
}

var asked = regexp.MustCompile(`(asked|old|before)/([a-z]+\.peers\.test)`)

func TestNames(t *testing.T) {
	groundtruth.Requirements(t, "ip", "/usr/sbin/dnsmasq", "dig", "redis-server", "redis-cli", "node", "npm", "python3", "javac", "java", "curl", "setpriv", "/usr/lib/postgresql")
	testbed := filepath.Join(groundtruth.Root(), "testbed")
	source, build := filepath.Join(testbed, "peers"), t.TempDir()
	// The drivers are those of the databases' own tests.
	redisBuild := filepath.Join(testbed, "_build", "redis")
	for _, argv := range [][]string{
		{"go", "build", "-o", filepath.Join(build, "client"), "./client"},
		{"javac", "-d", build, "Client.java"},
		{filepath.Join(testbed, "protocols", "redis", "clients", "build.sh"), redisBuild},
		{filepath.Join(testbed, "protocols", "postgresql", "build.sh")},
	} {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%v: %s", argv, out)
	}
	pgBuild := filepath.Join(testbed, "_build", "protocols-postgresql")
	packages, err := filepath.Glob(filepath.Join(pgBuild, "python", "lib", "python3*", "site-packages"))
	require.NoError(t, err)
	t.Setenv("PYTHONPATH", strings.Join(packages, ":"))
	t.Setenv("REDIS_MODULE", filepath.Join(redisBuild, "node", "node_modules", "ioredis"))
	t.Setenv("PG_MODULE", filepath.Join(pgBuild, "node", "node_modules", "pg"))
	words := strings.NewReplacer("BUILD", build, "SOURCE", source, "PYTHON", filepath.Join(redisBuild, "python", "bin", "python"),
		":R", ":"+redisPort, ":P", ":"+pgPort, ":H", ":"+httpPort)
	for _, hooks := range protocols.Backends {
		t.Run(hooks, func(t *testing.T) {
			run(t, hooks, func(s *scenario) []string {
				return strings.Fields(strings.ReplaceAll(words.Replace(s.argv), "COUNT", fmt.Sprint(s.rounds)))
			})
		})
	}
}

func run(t *testing.T, hooks string, argv func(*scenario) []string) {
	variable, value := protocols.Mark(t)
	t.Setenv(variable, value)
	n := newNetwork(t)
	dir := t.TempDir()
	start := func(s *scenario) *groundtruth.Process {
		n.resolver(s.resolver)
		p, err := groundtruth.Start(dir, n.argv(argv(s)...)...)
		require.NoError(t, err)
		return p
	}

	// A connection that is older than the collector.
	begin := filepath.Join(dir, "begin")
	old := scenario{name: "old", argv: "BUILD/client COUNT -wait " + begin + " redis:cache.peers.test:R pg:db.peers.test:P redis:one.peers.test:R", rounds: 10, requests: 3}
	n.resolver("")
	before, err := groundtruth.Start(dir, n.argv(argv(&old)...)...)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		out, _ := n.command("redis-cli", "-h", "10.77.0.1", "client", "list").Output()
		return strings.Count(string(out), "cmd=get") >= 2
	}, 10*time.Second, 20*time.Millisecond)

	w := protocols.Observe(t, hooks, fmt.Sprintf(`[{environment: {%s: %q}}, {exe: "*/curl"}, {exe: "*/client"}, {pids: [%d]}, {exe: %q}]`, variable, value, n.redis.PID(), filepath.Join(n.bin, "postgres")),
		"protocols: {redis: {query_text: raw}, postgresql: {query_text: raw}}\nmetrics: {peer: true}\n")
	require.NoError(t, os.WriteFile(begin, nil, 0o600))
	runs := map[int]*result{before.PID(): {scenario: &old}}
	require.NoError(t, before.Wait(30*time.Second))
	total := old.rounds * old.requests
	for i := range scenarios {
		s := &scenarios[i]
		p := start(s)
		runs[p.PID()] = &result{scenario: s}
		require.NoError(t, p.Wait(60*time.Second), s.name)
		total += s.rounds * s.requests
	}

	spans := w.Settled(3 * total) // with the servers', and the lookups
	check(t, runs, spans)
	services(t, spans)
	metrics(t, w)
}

// result is what became of a scenario.
type result struct {
	*scenario
	right, address, wrong int
}

// check compares server.address with what was asked for.
func check(t *testing.T, runs map[int]*result, spans []*groundtruth.Span) {
	complaints := 0
	wrong := func(r *result, format string, args ...any) {
		if r.wrong++; complaints < 20 {
			complaints++
			t.Errorf("%s: %s", r.name, fmt.Sprintf(format, args...))
		}
	}
	for _, s := range spans {
		r := runs[s.PID()]
		m := asked.FindStringSubmatch(s.Text("db.query.text") + s.Text("url.full"))
		if r == nil || m == nil || s.Kind != ptrace.SpanKindClient {
			continue
		}
		got := s.Text("server.address")
		_, notIP := netip.ParseAddr(got)
		_, peerNotIP := netip.ParseAddr(s.Text("network.peer.address"))
		switch {
		case peerNotIP != nil:
			wrong(r, "network.peer.address is %q", s.Text("network.peer.address"))
		case m[1] == "old" && notIP != nil:
			wrong(r, "%q is the name of a connection that is older than the collector", got)
		case m[1] == "old" || notIP == nil && r.unsure && shared[m[2]]:
			r.address++
		case got == m[2]:
			r.right++
		default:
			wrong(r, "server.address is %q, asked was %s: %v", got, m[2], s.Attributes.AsRaw())
		}
	}
	for _, r := range runs {
		want := r.rounds * r.requests
		t.Logf("%-18s %4d requests: %4d by name, %4d by address, %d wrong", r.name, want, r.right, r.address, r.wrong)
		assert.Equal(t, want, r.right+r.address+r.wrong, "spans of %s", r.name)
	}
}

// services compares service.peer.name at both ends with who was there.
func services(t *testing.T, spans []*groundtruth.Span) {
	clients := map[[8]byte]*groundtruth.Span{}
	for _, s := range spans {
		if s.Kind == ptrace.SpanKindClient && asked.MatchString(s.Text("db.query.text")+s.Text("url.full")) {
			clients[s.SpanID] = s
		}
	}
	name := func(s *groundtruth.Span) string {
		v, _ := s.Resource.Get("service.name")
		if v.Str() == "unknown_service" {
			return "" // of processes that were gone before they were looked at
		}
		return v.Str()
	}
	joined, wrong := 0, 0
	var missing [2]int
	for _, s := range spans {
		c := clients[s.ParentID]
		if s.Kind != ptrace.SpanKindServer || c == nil {
			continue
		}
		joined++
		for i, end := range [...]struct{ got, want string }{{c.Text("service.peer.name"), name(s)}, {s.Text("service.peer.name"), name(c)}} {
			switch end.got {
			case end.want:
			case "":
				if missing[i]++; missing[i] < 5 {
					t.Logf("service.peer.name is missing, not %q: client %v, server %v", end.want, c.Attributes.AsRaw(), s.Attributes.AsRaw())
				}
			default:
				if wrong++; wrong < 10 {
					t.Errorf("service.peer.name is %q, not %q: %v", end.got, end.want, s.Attributes.AsRaw())
				}
			}
		}
	}
	t.Logf("service.peer.name of %d connected pairs: missing on %d clients' and %d servers' spans, wrong %d", joined, missing[0], missing[1], wrong)
	require.Positive(t, joined)
	assert.Zero(t, missing[0])
	assert.LessOrEqual(t, float64(missing[1]), float64(joined)/100)
	assert.Zero(t, wrong)
}

// metrics compares the points of clients' operations with what was asked for.
func metrics(t *testing.T, w *protocols.Watch) {
	byAddress := map[string]uint64{}
	peers := map[string]uint64{}
	for _, p := range w.Sink.Points("db.client.operation.duration") {
		get := func(key string) string {
			text, _ := p.Attributes[key].(string)
			return text
		}
		byAddress[get("server.address")] += p.Count
		peers[get("service.peer.name")] += p.Count
	}
	t.Logf("operations by server.address %v, by service.peer.name %v", byAddress, peers)
	for name := range shared {
		assert.Positive(t, byAddress[name], name)
	}
	assert.Positive(t, peers["postgres"])
}
