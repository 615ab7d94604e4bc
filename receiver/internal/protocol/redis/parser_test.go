// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/ordered"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/protocoltest"
)

// cmd is a command as clients send it.
func cmd(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.String()
}

// words is cmd of words.
func words(text string) string { return cmd(strings.Fields(text)...) }

func bulkOf(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

type step = protocoltest.Step

// exchanges of the documentation of commands, RESP2 and RESP3 specifications.
var cases = map[string]struct {
	steps []step
	want  []string
	raw   []string // as query_text: raw has it, where that is different
}{
	"simple": {
		[]step{{">", words("SET k v")}, {"<", "+OK\r\n"}, {">", words("get k")}, {"<", "$1\r\nv\r\n"}, {">", words("Incr n")}, {"<", ":1\r\n"}},
		[]string{"SET | namespace=0 | text=SET ? ?", "GET | namespace=0 | text=GET ?", "INCR | namespace=0 | text=INCR ?"},
		[]string{"SET | namespace=0 | text=SET k v", "GET | namespace=0 | text=GET k", "INCR | namespace=0 | text=INCR n"},
	},
	"quoted": {
		[]step{{">", cmd("SET", "a key", "v\x00\n\"")}, {"<", "+OK\r\n"}},
		[]string{"SET | namespace=0 | text=SET ? ?"},
		[]string{`SET | namespace=0 | text=SET "a key" "v\x00\n\""`},
	},
	"nulls": {
		[]step{{">", words("GET a") + words("GET b") + words("BLPOP c 1") + words("GET d")}, {"<", "$-1\r\n_\r\n*-1\r\n$0\r\n\r\n"}},
		[]string{"GET | namespace=0 | text=GET ?", "GET | namespace=0 | text=GET ?", "BLPOP | namespace=0 | text=BLPOP ? ? | blocking=true", "GET | namespace=0 | text=GET ?"},
		[]string{"GET | namespace=0 | text=GET a", "GET | namespace=0 | text=GET b", "BLPOP | namespace=0 | text=BLPOP c 1 | blocking=true", "GET | namespace=0 | text=GET d"},
	},
	"errors": {
		[]step{{">", words("GET l")}, {"<", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"},
			{">", words("FOO")}, {"<", "-ERR unknown command 'FOO'\r\n"}, {">", words("EVAL x 0")}, {"<", "-My own words\r\n"},
			{">", words("GET k")}, {"<", "!21\r\nSYNTAX invalid syntax\r\n"}},
		[]string{"GET | namespace=0 | text=GET ? | status_code=WRONGTYPE | type=WRONGTYPE", "FOO | namespace=0 | text=FOO | status_code=ERR | type=ERR",
			"EVAL | namespace=0 | text=EVAL ? ? | type=_OTHER", "GET | namespace=0 | text=GET ? | status_code=SYNTAX | type=SYNTAX"},
		nil,
	},
	"redirects": {
		[]step{{">", words("GET k") + words("GET k")}, {"<", "-MOVED 3999 127.0.0.1:6381\r\n-ASK 3999 127.0.0.1:6382\r\n"}},
		[]string{"GET | namespace=0 | text=GET ? | status_code=MOVED | type=MOVED | redirect=127.0.0.1:6381", "GET | namespace=0 | text=GET ? | status_code=ASK | type=ASK | redirect=127.0.0.1:6382"},
		nil,
	},
	"transaction": {
		[]step{{">", words("MULTI") + words("SET a 1") + words("INCR b") + words("EXEC")}, {"<", "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:2\r\n"},
			{">", words("MULTI")}, {"<", "+OK\r\n"}, {">", words("GET a")}, {"<", "+QUEUED\r\n"}, {">", words("DISCARD")}, {"<", "+OK\r\n"},
			{">", words("MULTI") + words("GET a") + words("GET b") + words("EXEC")}, {"<", "+OK\r\n+QUEUED\r\n+QUEUED\r\n*-1\r\n"}},
		[]string{"MULTI | namespace=0 | text=MULTI", "SET | namespace=0 | text=SET ? ? | queued=true", "INCR | namespace=0 | text=INCR ? | queued=true", "EXEC | namespace=0 | text=EXEC | size=2",
			"MULTI | namespace=0 | text=MULTI", "GET | namespace=0 | text=GET ? | queued=true", "DISCARD | namespace=0 | text=DISCARD",
			"MULTI | namespace=0 | text=MULTI", "GET | namespace=0 | text=GET ? | queued=true", "GET | namespace=0 | text=GET ? | queued=true", "EXEC | namespace=0 | text=EXEC | size=2"},
		nil,
	},
	"nested": {
		[]step{{">", words("XREAD COUNT 2 STREAMS s 0") + words("PING")},
			{"<", "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n+PONG\r\n"},
			{">", words("XREAD BLOCK 100 STREAMS BLOCK 0")}, {"<", "*-1\r\n"}, {">", words("XREAD STREAMS BLOCK 0")}, {"<", "*-1\r\n"}},
		[]string{"XREAD | namespace=0 | text=XREAD ? ? ? ? ?", "PING | namespace=0 | text=PING", "XREAD | namespace=0 | text=XREAD ? ? ? ? ? | blocking=true", "XREAD | namespace=0 | text=XREAD ? ? ?"},
		nil,
	},
	"resp3": {
		[]step{{">", words("HELLO 3 AUTH me secret")}, {"<", "%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n"},
			{">", words("A") + words("B") + words("C") + words("D") + words("E") + words("F") + words("G") + words("H")},
			{"<", "~2\r\n#t\r\n,1.5\r\n(3492890328409238509324850943850943825024385\r\n=5\r\ntxt:a\r\n" +
				"|1\r\n+key-popularity\r\n%1\r\n$1\r\na\r\n,0.19\r\n*2\r\n:1\r\n:2\r\n" +
				"$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n*?\r\n:1\r\n*?\r\n:2\r\n.\r\n.\r\n" +
				"*3\r\n:1\r\n|1\r\n+ttl\r\n:3600\r\n:2\r\n:3\r\n%?\r\n+a\r\n:1\r\n+b\r\n:2\r\n.\r\n"}},
		[]string{"HELLO | namespace=0 | text=HELLO ? ? ? ?", "A | namespace=0 | text=A", "B | namespace=0 | text=B", "C | namespace=0 | text=C", "D | namespace=0 | text=D",
			"E | namespace=0 | text=E", "F | namespace=0 | text=F", "G | namespace=0 | text=G", "H | namespace=0 | text=H"},
		[]string{"HELLO | namespace=0 | text=HELLO ?", "A | namespace=0 | text=A", "B | namespace=0 | text=B", "C | namespace=0 | text=C", "D | namespace=0 | text=D",
			"E | namespace=0 | text=E", "F | namespace=0 | text=F", "G | namespace=0 | text=G", "H | namespace=0 | text=H"},
	},
	"secrets": {
		[]step{{">", words("AUTH pw") + words("CONFIG SET requirepass pw") + words("ACL SETUSER me >pw") + words("CLIENT SETINFO lib-name pw") + words("MIGRATE h 1 k 0 1 AUTH pw")},
			{"<", "+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n"}},
		[]string{"AUTH | namespace=0 | text=AUTH ?", "CONFIG SET | namespace=0 | text=CONFIG SET ? ?", "ACL SETUSER | namespace=0 | text=ACL SETUSER ? ?",
			"CLIENT SETINFO | namespace=0 | text=CLIENT SETINFO ? ?", "MIGRATE | namespace=0 | text=MIGRATE ? ? ? ? ? ? ?"},
		[]string{"AUTH | namespace=0 | text=AUTH ?", "CONFIG SET | namespace=0 | text=CONFIG SET ?", "ACL SETUSER | namespace=0 | text=ACL SETUSER ?",
			"CLIENT SETINFO | namespace=0 | text=CLIENT SETINFO ?", "MIGRATE | namespace=0 | text=MIGRATE ?"},
	},
	"databases": {
		[]step{{">", words("SELECT 3") + words("GET a")}, {"<", "+OK\r\n$-1\r\n"}, {">", words("SELECT 99") + words("GET a") + words("SELECT 4") + words("GET b")},
			{"<", "-ERR DB index is out of range\r\n$-1\r\n+OK\r\n$-1\r\n"}, {">", words("RESET")}, {"<", "+RESET\r\n"}, {">", words("GET c")}, {"<", "$-1\r\n"},
			{">", words("MULTI") + words("SELECT 5") + words("EXEC") + words("GET d")}, {"<", "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$-1\r\n"}},
		[]string{"SELECT | namespace=0 | text=SELECT ?", "GET | namespace=3 | text=GET ?", "SELECT | namespace=3 | text=SELECT ? | status_code=ERR | type=ERR", "GET | namespace=3 | text=GET ?",
			"SELECT | namespace=3 | text=SELECT ?", "GET | namespace=4 | text=GET ?", "RESET | namespace=4 | text=RESET", "GET | namespace=0 | text=GET ?",
			"MULTI | namespace=0 | text=MULTI", "SELECT | namespace=0 | text=SELECT ? | queued=true", "EXEC | text=EXEC", "GET | text=GET ?"},
		nil,
	},
	"pubsub": {
		[]step{{">", words("SUBSCRIBE a b")}, {"<", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"}, {"<", "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"},
			{">", words("PING")}, {"<", "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n"},
			{">", words("PSUBSCRIBE x*")}, {"<", "*3\r\n$10\r\npsubscribe\r\n$2\r\nx*\r\n:3\r\n*4\r\n$8\r\npmessage\r\n$2\r\nx*\r\n$2\r\nxy\r\n$2\r\nhi\r\n"},
			{">", words("UNSUBSCRIBE")}, {"<", "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n"},
			{">", words("PUNSUBSCRIBE x*")}, {"<", "*3\r\n$12\r\npunsubscribe\r\n$2\r\nx*\r\n:0\r\n"}, {">", words("LRANGE l 0 1")}, {"<", "*2\r\n$7\r\nmessage\r\n$1\r\na\r\n"}},
		[]string{"SUBSCRIBE | namespace=0 | text=SUBSCRIBE ? ?", "PING | namespace=0 | text=PING", "PSUBSCRIBE | namespace=0 | text=PSUBSCRIBE ?",
			"UNSUBSCRIBE | namespace=0 | text=UNSUBSCRIBE", "PUNSUBSCRIBE | namespace=0 | text=PUNSUBSCRIBE ?", "LRANGE | namespace=0 | text=LRANGE ? ? ?"},
		nil,
	},
	"pushes": {
		[]step{{">", words("SUBSCRIBE a") + words("GET k")}, {"<", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n$1\r\nv\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"}},
		[]string{"SUBSCRIBE | namespace=0 | text=SUBSCRIBE ?", "GET | namespace=0 | text=GET ?"},
		nil,
	},
	"silence": {
		[]step{{">", words("CLIENT REPLY SKIP") + words("SET a 1") + words("GET a")}, {"<", "$1\r\n1\r\n"},
			{">", words("CLIENT REPLY OFF") + words("SET a 2")}, {">", words("CLIENT REPLY ON") + words("GET a")}, {"<", "+OK\r\n$1\r\n2\r\n"}},
		[]string{"CLIENT REPLY | namespace=0 | text=CLIENT REPLY ? | unanswered=true", "SET | namespace=0 | text=SET ? ? | unanswered=true", "GET | namespace=0 | text=GET ?",
			"CLIENT REPLY | namespace=0 | text=CLIENT REPLY ? | unanswered=true", "SET | namespace=0 | text=SET ? ? | unanswered=true",
			"CLIENT REPLY | namespace=0 | text=CLIENT REPLY ?", "GET | namespace=0 | text=GET ?"},
		nil,
	},
	"inline": {
		[]step{{">", "PING\r\n"}, {"<", "+PONG\r\n"}, {">", "\r\nset  a \"b c\"\n" + "EXISTS a\r\n"}, {"<", "+OK\r\n:1\r\n"}},
		[]string{"PING | namespace=0 | text=PING", "SET | namespace=0 | text=SET ? ?", "EXISTS | namespace=0 | text=EXISTS ?"},
		nil,
	},
	"procedures": {
		[]step{{">", words("EVALSHA 6b1bf486c81ceb7edf3c093f4c48582e38c0e791 0") + words("FCALL f 1 k") + words("SCRIPT LOAD x")}, {"<", "-NOSCRIPT No matching script.\r\n:1\r\n$1\r\nx\r\n"}},
		[]string{"EVALSHA 6b1bf486c81ceb7edf3c093f4c48582e38c0e791 | namespace=0 | name=6b1bf486c81ceb7edf3c093f4c48582e38c0e791 | text=EVALSHA ? ? | status_code=NOSCRIPT | type=NOSCRIPT",
			"FCALL f | namespace=0 | name=f | text=FCALL ? ? ?", "SCRIPT LOAD | namespace=0 | text=SCRIPT LOAD ?"},
		nil,
	},
	"many arguments": {
		[]step{{">", words("DEL" + strings.Repeat(" k", 40))}, {"<", ":40\r\n"}},
		[]string{"DEL | namespace=0 | text=DEL" + strings.Repeat(" ?", 32) + " ..."},
		nil,
	},
	"empty": {
		[]step{{">", "*0\r\n*-1\r\n" + words("PING")}, {"<", "+PONG\r\n"}},
		[]string{"PING | namespace=0 | text=PING"},
		nil,
	},
}

func TestParser(t *testing.T) {
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
				for _, n := range []int{0, 1, 2, 7, -1, -1, -1} {
					h := protocoltest.New(New(Options{}), role, false)
					h.Play(tc.steps, n, r)
					require.NoError(t, h.Err)
					require.Zero(t, h.Open())
					h.Check(t, exchange.FailureClosed)
					require.Equal(t, tc.want, h.Lines(), "pieces of %d", n)
					require.Zero(t, h.Stats)
				}
				if tc.raw != nil {
					h := protocoltest.New(New(Options{Settings: &dbconv.Settings{QueryText: dbconv.TextRaw}}), role, false)
					h.Play(tc.steps, -1, r)
					h.Check(t, exchange.FailureClosed)
					require.Equal(t, tc.raw, h.Lines())
				}
			}
		})
	}
}

func TestQueryTextNone(t *testing.T) {
	h := protocoltest.New(New(Options{Settings: &dbconv.Settings{QueryText: dbconv.TextNone}}), exchange.RoleClient, false)
	h.Request(words("SET k v"))
	h.Reply("+OK\r\n")
	h.Check(t, exchange.FailureClosed)
	require.Equal(t, []string{"SET | namespace=0"}, h.Lines())
}

func TestTimes(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	value := strings.Repeat("v", 1<<20)
	h.Request(words("GET big")[:5])
	start := h.Now() - 1
	h.Request(words("GET big")[5:] + words("GET k"))
	h.Reply(bulkOf(value)[:100])
	h.Reply(bulkOf(value)[100:])
	end := h.Now()
	h.Reply("$1\r\nv\r\n")
	h.Check(t, exchange.FailureClosed)
	require.Len(t, h.Ended, 2)
	require.Equal(t, start, h.Ended[0].Start)
	require.Equal(t, end, h.Ended[0].End)
	require.Equal(t, h.Ended[0].Start+10, h.Ended[1].Start)
	require.Equal(t, end+10, h.Ended[1].End)
}

// TestHoles: values of which only the beginning is copied do not cost boundaries.
func TestHoles(t *testing.T) {
	for _, limit := range []int{64, 100, 4096} {
		h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
		h.Limit = limit
		value := strings.Repeat("v", 1<<20)
		for range 5 {
			h.Request(cmd("SET", "k", value))
			h.Reply("+OK\r\n")
			h.Request(words("GET k"))
			text := bulkOf(value)
			for len(text) > 0 {
				n := min(16<<10, len(text))
				h.Reply(text[:n])
				text = text[n:]
			}
			h.Request(words("LRANGE l 0 1"))
			h.Reply("*2\r\n" + bulkOf(value))
			h.Reply(bulkOf(value))
		}
		require.NoError(t, h.Err)
		require.Zero(t, h.Open())
		h.Check(t, exchange.FailureClosed)
		require.Len(t, h.Ended, 15)
		require.Zero(t, h.Stats)
		require.Equal(t, ordered.Heads, h.Parser.Window())
	}
}

// TestEvidence: an array of which boundaries were lost ends where the next command shows
// it.
func TestEvidence(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	for range 3 {
		h.Request(words("PING"))
		h.Reply("+PONG\r\n")
	}
	h.Limit = 64
	h.Request(words("LRANGE l 0 -1"))
	text := "*1000\r\n" + strings.Repeat(bulkOf("some value"), 1000)
	h.Reply(text[:8000])
	h.Reply(text[8000:])
	end := h.Now()
	require.Len(t, h.Ended, 3)
	h.Request(words("GET a"))
	require.Len(t, h.Ended, 4)
	require.Equal(t, end, h.Ended[3].End)
	h.Reply("$1\r\na\r\n")
	require.Len(t, h.Ended, 5)
	whole := ordered.Whole
	whole.After = protocol.EveryValue
	require.Equal(t, whole, h.Parser.Window())
	h.Check(t, exchange.FailureClosed)
	require.Zero(t, h.Stats.Unmatched)
}

// TestLostRequests: what was in flight keeps its place; what may have been hidden is not
// guessed.
func TestLostRequests(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	for range 3 {
		h.Request(words("PING"))
		h.Reply("+PONG\r\n")
	}
	h.Limit = 64
	h.Request(strings.Repeat(words("GET k"), 100)) // of 20 bytes each: three are whole
	h.Reply("$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n" + strings.Repeat("$1\r\nx\r\n", 97))
	require.Len(t, h.Ended, 3+3)
	h.Limit = 0
	h.Request(words("GET k"))
	h.Reply("$1\r\n1\r\n")
	h.Check(t, exchange.FailureClosed)
	require.Len(t, h.Ended, 7)
}

func TestMidStream(t *testing.T) {
	t.Run("client that waits", func(t *testing.T) {
		h := protocoltest.New(New(Options{}), exchange.RoleClient, true)
		h.Reply("rest of something\r\n")
		for i := range 20 {
			h.Request(words("GET k"))
			h.Reply("$1\r\nv\r\n")
			if i < 7 {
				require.Empty(t, h.Ended)
			}
		}
		require.Len(t, h.Ended, 20)
		h.Check(t, exchange.FailureClosed)
		require.Equal(t, "GET | text=GET ?", h.Lines()[0])
	})
	t.Run("short", func(t *testing.T) {
		h := protocoltest.New(New(Options{}), exchange.RoleClient, true)
		h.Request(words("GET k"))
		h.Reply("$1\r\nv\r\n")
		require.Empty(t, h.Ended)
		h.Check(t, exchange.FailureClosed)
		require.Len(t, h.Ended, 1)
	})
	t.Run("server", func(t *testing.T) {
		h := protocoltest.New(New(Options{}), exchange.RoleServer, true)
		h.Reply("+PONG\r\n")
		h.Request(words("GET k"))
		h.Reply("$1\r\nv\r\n")
		require.Len(t, h.Ended, 1)
		h.Check(t, exchange.FailureClosed)
	})
	t.Run("client with others in flight", func(t *testing.T) {
		h := protocoltest.New(New(Options{}), exchange.RoleClient, true)
		for i := range 30 {
			h.Request(words("GET k"))
			if i == 4 {
				h.Request(words("GET k"))
			} else {
				h.Reply("$1\r\nv\r\n")
			}
		}
		h.Check(t, exchange.FailureClosed)
		require.Empty(t, h.Ended)
	})
	t.Run("silence", func(t *testing.T) {
		h := protocoltest.New(New(Options{}), exchange.RoleClient, true)
		h.Request(words("GET k"))
		h.Request(words("GET k"))
		h.Reply("$1\r\nv\r\n")
		h.Request(words("GET k"))
		h.Reply("$1\r\nv\r\n$1\r\nv\r\n")
		h.Wait(2e9)
		h.Request(words("GET k"))
		h.Reply("$1\r\nv\r\n")
		h.Check(t, exchange.FailureClosed)
		require.Len(t, h.Ended, 1)
	})
}

// TestMispaired: an answer of a type that the command never has shows that something was
// missed.
func TestMispaired(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	h.Request(words("INCR a") + words("GET b"))
	h.Reply("$1\r\nv\r\n:1\r\n")
	h.Check(t, exchange.FailureClosed)
	require.Empty(t, h.Ended)
	require.Equal(t, 2, h.Abandoned)
}

func TestOrphan(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	h.Segment(protocol.Segment{Dir: protocol.Received, Data: []byte("+PONG\r\n:1\r\n"), Time: 5000, First: 5000})
	text := words("PING") + words("INCR n")
	h.Segment(protocol.Segment{Dir: protocol.Sent, Data: []byte(text), Time: 5010, First: 4000})
	h.Check(t, exchange.FailureClosed)
	require.Len(t, h.Ended, 2)
	require.EqualValues(t, 4000, h.Ended[0].Start)
	require.EqualValues(t, 5000, h.Ended[1].End)
}

func TestFailures(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	h.Request(words("BLPOP q 0"))
	h.EndOf(protocol.Received, exchange.FailureReset)
	h.Check(t, exchange.FailureReset)
	require.Equal(t, []string{"BLPOP | namespace=0 | text=BLPOP ? ? | type=connection_reset | blocking=true"}, h.Lines())
	h = protocoltest.New(New(Options{}), exchange.RoleClient, false)
	h.Request(words("BLPOP q 0"))
	h.Check(t, exchange.FailureNone)
	require.Empty(t, h.Ended)
	require.Equal(t, 1, h.Abandoned)
}

func TestOpaque(t *testing.T) {
	for name, steps := range map[string][]step{
		"MONITOR": {{">", words("MONITOR")}, {"<", "+OK\r\n"}},
		"PSYNC":   {{">", words("PSYNC ? -1")}, {"<", "\n\n+FULLRESYNC 8371b4fb1155b71f4a04d3e1bc3e18c4a990aeeb 0\r\n"}},
		"SYNC":    {{">", words("SYNC")}, {"<", "\n$12345\r\nREDIS0011"}},
	} {
		h := protocoltest.New(New(Options{}), exchange.RoleServer, false)
		h.Play(steps, 0, nil)
		require.ErrorIs(t, h.Err, protocol.ErrOpaque, name)
		h.Check(t, exchange.FailureClosed)
		require.Len(t, h.Ended, 1)
	}
	h := protocoltest.New(New(Options{}), exchange.RoleServer, false)
	h.Play([]step{{">", words("MONITOR")}, {"<", "-NOAUTH Authentication required.\r\n"}}, 0, nil)
	require.NoError(t, h.Err)
}

func TestMismatch(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	h.Request(words("PING"))
	h.Reply("+PONG\r\n")
	for range 100 {
		h.Request("\x00\x01\x02\x03 what is this")
		h.Reply("\x00\x01\x02\x03 and this")
	}
	require.ErrorIs(t, h.Err, protocol.ErrMismatch)
	h.Check(t, exchange.FailureClosed)
	require.Len(t, h.Ended, 1)
}

func TestDeepPipelines(t *testing.T) {
	for _, depth := range []int{1, 2, 16, 100, 1000} {
		h := protocoltest.New(New(Options{}), exchange.RoleServer, false)
		var request, response strings.Builder
		for i := range depth {
			if i%3 == 0 {
				request.WriteString(cmd("INCR", fmt.Sprint(i)))
				fmt.Fprintf(&response, ":%d\r\n", i)
			} else {
				request.WriteString(cmd("GET", fmt.Sprint(i)))
				response.WriteString(bulkOf(fmt.Sprint(i)))
			}
		}
		for range 3 {
			h.Play([]step{{">", request.String()}, {"<", response.String()}}, 16<<10, nil)
		}
		h.Check(t, exchange.FailureClosed)
		require.Len(t, h.Ended, 3*depth)
		require.Zero(t, h.Stats)
	}
	// More than is kept in mind.
	h := protocoltest.New(New(Options{}), exchange.RoleServer, false)
	for range 3 * 4096 {
		h.Request(words("PING"))
	}
	require.LessOrEqual(t, h.Open(), 4096)
	h.Check(t, exchange.FailureClosed)
}

// TestModel cuts and loses bytes at random: a reported exchange is always a right one.
func TestModel(t *testing.T) {
	for seed := range 300 {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		role := exchange.Role(1 + r.IntN(2))
		h := protocoltest.New(New(Options{Settings: &dbconv.Settings{QueryText: dbconv.TextRaw}}), role, r.IntN(4) == 0)
		lossy := r.IntN(3) > 0
		depth := []int{1, 2, 16}[r.IntN(3)]
		value := 0
		var want int
		for range 60 {
			n := 1 + r.IntN(depth)
			var request, response strings.Builder
			for range n {
				// The error's code is the key: a wrong pair shows.
				key := fmt.Sprintf("K%d", value)
				value++
				switch r.IntN(3) {
				case 0:
					request.WriteString(cmd("GET", key))
					response.WriteString("-" + key + " is what you asked for\r\n")
				case 1:
					request.WriteString(cmd("LRANGE", key, "0", "1"))
					response.WriteString("-" + key + "\r\n")
				default:
					request.WriteString(cmd("SET", key, strings.Repeat("x", r.IntN(3000))))
					response.WriteString("-" + key + strings.Repeat(" y", r.IntN(2000)) + "\r\n")
				}
				want++
			}
			for i, text := range []string{request.String(), response.String()} {
				dir := protocol.Received
				if (i == 0) == (role == exchange.RoleClient) {
					dir = protocol.Sent
				}
				lost := 0
				for len(text) > 0 {
					m := 1 + r.IntN(len(text))
					if lossy && r.IntN(60) == 0 {
						lost += m
						text = text[m:]
						continue
					}
					s := protocol.Segment{Dir: dir, Data: []byte(text[:m]), Len: m, Lost: uint64(lost)}
					if lossy && r.IntN(20) == 0 {
						c := r.IntN(m)
						s.Data = s.Data[:c]
						s.Tail = []byte(text[max(c, m-8):m])
					}
					lost = 0
					h.Segment(s)
					text = text[m:]
				}
				// What is lost at the end shows with the next segment only: the model
				// does without it, the next text tells.
				if lost > 0 {
					h.Segment(protocol.Segment{Dir: dir, Lost: uint64(lost)})
				}
			}
		}
		h.Check(t, exchange.FailureNone)
		for _, e := range h.Ended {
			text := e.Attributes["db.query.text"].(string)
			_, cut := e.Attributes["ebpf.db.query.truncated"]
			status, ok := e.Attributes["db.response.status_code"]
			switch {
			case ok && cut:
				words := strings.Fields(text + " K")
				require.True(t, strings.HasPrefix(status.(string), strings.TrimSuffix(words[1], "...")), "seed %d: %s", seed, e.Line())
			case ok:
				require.Contains(t, text+" ", " "+status.(string)+" ", "seed %d", seed)
			case !ok:
				require.True(t, lossy, "seed %d: %s", seed, e.Line())
			}
		}
		if !lossy {
			require.Equal(t, want, len(h.Ended), "seed %d", seed)
		}
	}
}

func TestDetect(t *testing.T) {
	p := New(Options{})
	protocoltest.Rejects(t, p, "redis", "redis inline")
	for text, want := range map[string]protocol.Verdict{
		"": protocol.Undecided, "*": protocol.Undecided, "*3\r\n$3\r\nSE": protocol.Undecided, "*3\r\n$3\r\nSET\r": protocol.Undecided,
		"*3\r\n$3\r\nSET\r\n": protocol.Accepted, "*2\r\n$8\r\nJSON.GET\r\n": protocol.Accepted, "*1\r\n$4\r\n\x00\x01\x02\x03\r\n": protocol.Rejected,
		"*0\r\n": protocol.Rejected, "*-1\r\n": protocol.Rejected, "*1\r\n:1\r\n": protocol.Rejected, "PI": protocol.Undecided, "PING\r\n": protocol.Undecided,
		"GET / HTTP/1.1\r\n": protocol.Undecided, "nothing known\r\n": protocol.Rejected,
	} {
		v, dir := p.Detect(&protocol.Evidence{Role: exchange.RoleClient, Bytes: [2][]byte{protocol.Sent: []byte(text)}})
		require.Equal(t, want, v, "%q", text)
		require.Equal(t, protocol.Sent, dir)
	}
	e := &protocol.Evidence{Role: exchange.RoleServer, Bytes: [2][]byte{protocol.Received: []byte(words("get a"))}}
	require.Zero(t, testing.AllocsPerRun(100, func() { p.Detect(e) }))
}
