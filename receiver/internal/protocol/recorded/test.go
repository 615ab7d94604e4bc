// SPDX-License-Identifier: Apache-2.0

package recorded

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Options of Test.
type Options struct {
	// Degraded matches lines that may be left of an exchange where bytes were lost: the
	// parser knows that there was one, but not all of what it was. Empty: there are none.
	Degraded string
	// Walked: what the kernel copies of this protocol is not decided by windows, so that
	// this is not replayed.
	Walked bool
}

var roles = []exchange.Role{exchange.RoleClient, exchange.RoleServer}

const (
	// runs with losses of each kind, of each conversation, at each end.
	runs = 40
	// attaches and ends in the middle of each conversation, at each end.
	middles = 60
	// maxMemory is what a connection may keep, in bytes.
	maxMemory = 512 << 10
)

// private is what must not be in a conversation: where it was recorded.
var private = regexp.MustCompile(`/tmp/|/root/|/home/|/work/`)

// failure is a line of an exchange that was not answered: with losses nobody can know that.
var failure = regexp.MustCompile(` (eof|closed|connection_reset|timeout)$`)

// Test checks what a protocol's parser makes of the conversations in testdata/recorded.
//
// Seen whole, however it is cut into segments, and from both ends, it is exactly what the
// client did. With losses, seen from the middle on, or until the middle, it is a part of
// that. A connection's memory is bounded.
//
// registry makes the protocol anew for each replay: some remember what other connections
// told.
func Test(t *testing.T, registry func() protocol.Protocol, o Options) {
	for _, c := range Read(t) {
		t.Run(c.Name, func(t *testing.T) {
			for i := range c.Pieces {
				require.NotRegexp(t, private, string(c.Pieces[i].Bytes), "piece %d", i)
			}
			for _, role := range roles {
				t.Run(role.String(), func(t *testing.T) { one(t, registry, c, role, o) })
			}
			t.Run("memory", func(t *testing.T) { bounded(t, registry, c) })
		})
	}
}

func one(t *testing.T, registry func() protocol.Protocol, c *Conversation, role exchange.Role, o Options) {
	play := func(r Replay) *Result {
		r.Role = role
		return Play([]protocol.Protocol{registry()}, c, r)
	}
	whole := play(Replay{})
	require.Empty(t, whole.Wrong)
	Truth(t, c, whole)
	require.Zero(t, whole.Stats.ByProtocol[0].Resyncs)
	require.Zero(t, whole.Stats.ByProtocol[0].Invalid)
	require.Zero(t, whole.Stats.Mismatches)

	same := func(r Replay, what string, args ...any) {
		t.Helper()
		got := play(r)
		require.Empty(t, got.Wrong, append([]any{what}, args...)...)
		require.Equal(t, whole.Lines, got.Lines, append([]any{what}, args...)...)
	}
	for _, n := range []int{1, 2, 3, 7, 100, 1460} {
		same(Replay{Cut: func(left int) int { return min(left, n) }}, "in pieces of %d", n)
	}
	r := rand.New(rand.NewPCG(1, uint64(role)))
	anywhere := func(left int) int {
		if r.IntN(3) == 0 {
			return 1 + r.IntN(min(left, 16))
		}
		return 1 + r.IntN(left)
	}
	for i := range runs {
		same(Replay{Cut: anywhere}, "cut at random, run %d", i)
	}
	if !o.Walked {
		same(Replay{Kernel: true}, "as the kernel copies it")
	}

	found := map[string]int{}
	invented := map[string]string{}
	degraded := regexp.MustCompile("^(" + o.Degraded + ")$")
	part := func(r Replay, kind string, i int) {
		t.Helper()
		got := play(r)
		require.Empty(t, got.Wrong, "%s, run %d", kind, i)
		require.LessOrEqual(t, len(got.Lines), len(whole.Lines), "%s, run %d", kind, i)
		left := count(whole.Lines)
		for _, line := range got.Lines {
			if left[line] > 0 {
				left[line]--
			} else if failure.MatchString(line) || !degraded.MatchString(line) {
				invented[line] = fmt.Sprintf("%s, run %d", kind, i)
			}
		}
		found[kind] += len(got.Lines)
	}
	rarely := func() bool { return r.IntN(40) == 0 }
	some := func(n int) int {
		if r.IntN(10) > 0 {
			return n
		}
		return r.IntN(n + 1)
	}
	for i := range runs {
		part(Replay{Cut: anywhere, Lose: rarely}, "lost", i)
		part(Replay{Lose: rarely}, "lost whole", i)
		if !c.Datagrams {
			part(Replay{Cut: anywhere, Copy: some}, "copied in part", i)
			part(Replay{Copy: func(n int) int { return min(n, 64) }, Cut: anywhere, Lose: rarely}, "64 bytes of each", i)
		}
	}
	for i := range min(middles, len(c.Pieces)-1) {
		at := 1 + i
		if len(c.Pieces) > middles {
			at = 1 + r.IntN(len(c.Pieces)-1)
		}
		part(Replay{Skip: at}, "attached in the middle", at)
		part(Replay{Skip: at, Cut: anywhere}, "attached in the middle, cut", at)
		part(Replay{Until: at, Forget: true}, "left in the middle", at)
	}
	require.Empty(t, invented, "exchanges that did not happen")
	for kind, n := range found {
		times := runs
		if strings.Contains(kind, "middle") {
			times = min(middles, len(c.Pieces)-1)
		}
		t.Logf("%s: %d %% of the exchanges", kind, 100*n/max(times*len(whole.Lines), 1))
	}
}

func count(lines []string) map[string]int {
	n := map[string]int{}
	for _, line := range lines {
		n[line]++
	}
	return n
}

// Truth compares what came out with what the client did.
func Truth(t testing.TB, c *Conversation, got *Result) {
	t.Helper()
	counted := map[string]int{}
	messages := map[string]int{}
	for line, n := range count(got.Lines) {
		switch {
		case c.Own[line]:
		case c.Messages[line] > 0:
			messages[line] = got.Messages[line]
		default:
			counted[line] = n
		}
	}
	require.Equal(t, c.Exchanges, counted)
	require.Equal(t, c.Messages, messages)
}

// bounded plays a conversation over and over on connections that stay open, with losses, so
// that parsers keep what they wait for.
func bounded(t *testing.T, registry func() protocol.Protocol, c *Conversation) {
	const connections, times = 16, 10
	r := rand.New(rand.NewPCG(3, 3))
	live := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	all := []protocol.Protocol{registry()}
	p := newPlayer(all, Replay{Role: exchange.RoleServer, Lose: func() bool { return r.IntN(3) == 0 }})
	p.quiet = true
	for i := range connections {
		for range times {
			p.play(all, c, uint64(i)*100)
		}
	}
	after := live()
	runtime.KeepAlive(p)
	if each := (int64(after) - int64(before)) / int64(len(p.conns)); each > maxMemory {
		require.Fail(t, "memory", "%d bytes per connection", each)
	}
}

// Benchmark reports what a message of the conversations costs from the tracker on: the
// beginnings of connections are a part of it, spans are not.
func Benchmark(b *testing.B, p protocol.Protocol) {
	all := []protocol.Protocol{p}
	for _, c := range Read(b) {
		b.Run(c.Name, func(b *testing.B) {
			exchanges := len(Play(all, c, Replay{Role: exchange.RoleServer}).Lines)
			var ids []uint64
			for i := range c.Pieces {
				if id := uint64(c.Pieces[i].Connection); !slices.Contains(ids, id) {
					ids = append(ids, id)
				}
			}
			p := newPlayer(all, Replay{Role: exchange.RoleServer})
			p.quiet = true
			b.ReportAllocs()
			for b.Loop() {
				p.play(all, c, 0)
				for _, id := range ids {
					p.tracker.Close(id, p.now, exchange.FailureEOF)
					delete(p.conns, id)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*2*exchanges), "ns/message")
		})
	}
}
