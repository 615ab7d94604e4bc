// SPDX-License-Identifier: Apache-2.0

package confusion

import (
	"encoding/base64"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
)

var update = flag.Bool("update", false, "write the matrix into testbed/README.md")

// times each conversation is held.
const times = 5

// ports are the well-known ones: every conversation is held on that of another protocol.
var ports = []int{80, 443, 22, 3306, 5432, 6379, 9092, 11211, 27017, 9042, 5672, 4222, 1883, 53, 9000, 50051, 8080, 9200, 25, 3128}

// protocolOf says what a span was taken for.
func protocolOf(s *groundtruth.Span) string {
	if s.Text("rpc.system.name") != "" {
		return "grpc"
	}
	if system := s.Text("db.system.name"); system != "" {
		if system == "mariadb" {
			return "mysql"
		}
		return system
	}
	switch system := s.Text("messaging.system"); system {
	case "":
	case "rabbitmq":
		return "amqp"
	default:
		return system
	}
	if name := s.Text("network.protocol.name"); name != "" && name != "http" {
		return name
	}
	if s.Text("http.request.method") != "" {
		if s.Text("network.protocol.version") == "2" {
			return "http2"
		}
		return "http"
	}
	return "?"
}

// conversation is one of testdata, or noise made here.
type conversation struct {
	name, file string
	// protocol is "" for what is none of ours.
	protocol string
	port     int
	server   *groundtruth.Process
}

func conversations(t *testing.T, dir string) []*conversation {
	var all []*conversation
	files, err := filepath.Glob(filepath.Join(groundtruth.Root(), "testbed", "protocols", "confusion", "testdata", "*.*"))
	require.NoError(t, err)
	noise := map[string]func(r *rand.Rand, n int) []byte{
		"noise-random": func(r *rand.Rand, n int) []byte {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			return b
		},
		"noise-zeros": func(_ *rand.Rand, n int) []byte { return make([]byte, n) },
		"noise-text": func(r *rand.Rand, n int) []byte {
			words := []string{"GET", "get", "SELECT", "INFO", "PUB", "set", "HTTP", "*1", "+OK", "the", "quick", "\r\n", "-", "$5", "ping"}
			var b []byte
			for len(b) < n {
				b = append(append(b, words[r.IntN(len(words))]...), ' ')
			}
			return append(b, "\r\n"...)
		},
		"noise-lengths": func(r *rand.Rand, n int) []byte { // big-endian lengths, then letters
			b := []byte{0, 0, byte(n >> 8), byte(n)}
			for len(b) < n+4 {
				b = append(b, byte('a'+r.IntN(26)))
			}
			return b
		},
	}
	for name, make := range noise {
		r := rand.New(rand.NewPCG(1, uint64(len(name))))
		var b strings.Builder
		for range 20 {
			fmt.Fprintf(&b, "c %s\ns %s\n", base64.StdEncoding.EncodeToString(make(r, 1+r.IntN(300))), base64.StdEncoding.EncodeToString(make(r, 1+r.IntN(2000))))
		}
		file := filepath.Join(dir, name+".tcp")
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o600))
		files = append(files, file)
	}
	r := rand.New(rand.NewPCG(7, 7))
	var b strings.Builder
	for range 64 { // a file, to who asks for it by its name
		b.WriteString("s " + base64.StdEncoding.EncodeToString(noise["noise-random"](r, 16<<10)) + "\n")
	}
	file := filepath.Join(dir, "noise-file.tcp")
	require.NoError(t, os.WriteFile(file, []byte("c "+base64.StdEncoding.EncodeToString([]byte("/srv/data/archive.bin\n"))+"\n"+b.String()), 0o600))
	files = append(files, file)
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	for _, f := range files {
		name := filepath.Base(f)
		c := &conversation{name: strings.ReplaceAll(strings.TrimSuffix(name, ".tcp"), ".udp", " (UDP)"), file: f}
		if !strings.HasPrefix(name, "noise-") {
			c.protocol, _, _ = strings.Cut(strings.TrimSuffix(strings.TrimSuffix(name, ".tcp"), ".udp"), "-")
		}
		all = append(all, c)
	}
	return all
}

// Whatever port it is spoken on, every protocol is taken for what it is, at both ends,
// and what is none for nothing.
func TestConfusion(t *testing.T) {
	groundtruth.Requirements(t)
	dir := t.TempDir()
	replay := filepath.Join(dir, "replay")
	build := exec.Command("go", "build", "-o", replay, "./replay")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	all := conversations(t, dir)
	w := protocols.Observe(t, "", `[{exe: "`+replay+`"}]`, "")

	next := 0
	start := func(c *conversation) {
		for ; next < len(ports); next++ {
			server, err := groundtruth.StartServer(dir, replay, "serve", c.file, strconv.Itoa(ports[next]))
			if err == nil {
				c.server = server
				next++
				break
			}
		}
		if c.server == nil {
			server, err := groundtruth.StartServer(dir, replay, "serve", c.file)
			require.NoError(t, err)
			c.server = server
		}
		c.port = c.server.Port
	}
	for _, c := range all {
		start(c)
		t.Cleanup(func() { _ = c.server.Stop(0) })
	}
	time.Sleep(300 * time.Millisecond)
	who := map[int]*conversation{} // by process
	for _, c := range all {
		play := exec.Command(replay, "play", c.file, net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)), strconv.Itoa(times))
		out, err := play.CombinedOutput()
		require.NoError(t, err, "%s: %s", c.name, out)
		who[play.Process.Pid], who[c.server.PID()] = c, c
	}
	w.Settled(1)
	taken := map[*conversation]map[string]int{} // by protocol
	for _, s := range w.Sink.Spans() {
		c := who[s.PID()]
		require.NotNil(t, c, "%s: %v", s.Name, s.Resource.AsRaw())
		if taken[c] == nil {
			taken[c] = map[string]int{}
		}
		taken[c][protocolOf(s)]++
	}
	columns := map[string]bool{}
	for _, c := range all {
		if c.protocol != "" {
			columns[c.protocol] = true
		}
		for p := range taken[c] {
			columns[p] = true
		}
	}
	names := slices.Sorted(maps.Keys(columns))
	var table strings.Builder
	table.WriteString("| spoken | " + strings.Join(names, " | ") + " |\n|---|" + strings.Repeat("---|", len(names)) + "\n")
	for _, c := range all {
		total := 0
		for _, n := range taken[c] {
			total += n
		}
		t.Logf("%s on port %d: %v", c.name, c.port, taken[c])
		table.WriteString("| " + c.name + " |")
		for _, p := range names {
			cell := ""
			if n := taken[c][p]; n > 0 {
				cell = fmt.Sprintf(" %.0f %%", 100*float64(n)/float64(total))
			}
			table.WriteString(cell + " |")
		}
		table.WriteString("\n")
		if c.protocol == "" {
			assert.Empty(t, taken[c], "%s is no protocol of ours", c.name)
			continue
		}
		assert.Len(t, taken[c], 1, c.name)
		n := taken[c][c.protocol]
		assert.Positive(t, n, "%s is not recognised", c.name)
		assert.Zero(t, n%(2*times), "%s: every time, and at both ends, the same", c.name)
	}
	publish(t, table.String())
}

const (
	begin = "<!-- begin confusion: go test ./testbed/protocols/confusion -update -->\n"
	end   = "<!-- end confusion -->\n"
)

// publish compares the matrix with the one in testbed/README.md, or writes it there.
func publish(t *testing.T, table string) {
	path := filepath.Join(groundtruth.Root(), "testbed", "README.md")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok, "testbed/README.md has no line %q", begin)
	_, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	want := before + begin + table + end + after
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
		return
	}
	assert.Equal(t, want, string(text), "testbed/README.md is out of date")
}
