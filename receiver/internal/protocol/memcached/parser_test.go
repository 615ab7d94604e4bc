// SPDX-License-Identifier: Apache-2.0

package memcached

import (
	big "encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/ordered"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/protocoltest"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/recorded"
)

type step = protocoltest.Step

// packet is a binary message.
func packet(magic, opcode byte, status, opaque int, extras, key, value string) string {
	b := []byte{magic, opcode, 0, 0, byte(len(extras)), 0, 0, 0}
	big.BigEndian.PutUint16(b[2:], uint16(len(key)))
	big.BigEndian.PutUint16(b[6:], uint16(status))
	b = big.BigEndian.AppendUint32(b, uint32(len(extras)+len(key)+len(value)))
	b = big.BigEndian.AppendUint32(b, uint32(opaque))
	b = append(b, make([]byte, 8)...)
	return string(b) + extras + key + value
}

func ask(opcode byte, opaque int, extras, key, value string) string {
	return packet(magicRequest, opcode, 0, opaque, extras, key, value)
}

func tell(opcode byte, status, opaque int, extras, key, value string) string {
	return packet(magicReply, opcode, status, opaque, extras, key, value)
}

const eight = "\x00\x00\x00\x00\x00\x00\x00\x00"

var cases = map[string]struct {
	steps []step
	want  []string
	raw   []string
}{
	"storage": {
		[]step{{">", "set a 0 0 5\r\nhello\r\n"}, {"<", "STORED\r\n"}, {">", "add a 0 -1 2\r\nhi\r\ncas a 0 0 2 17\r\nhi\r\nappend b 0 0 0\r\n\r\n"}, {"<", "NOT_STORED\r\nEXISTS\r\nNOT_STORED\r\n"}},
		[]string{"set | text=set ? ? ? ?", "add | text=add ? ? ? ? | status_code=NOT_STORED", "cas | text=cas ? ? ? ? ? | status_code=EXISTS", "append | text=append ? ? ? ? | status_code=NOT_STORED"},
		[]string{"set | text=set a 0 0 5", "add | text=add a 0 -1 2 | status_code=NOT_STORED", "cas | text=cas a 0 0 2 17 | status_code=EXISTS", "append | text=append b 0 0 0 | status_code=NOT_STORED"},
	},
	"retrieval": {
		[]step{{">", "get a b c\r\ngets d\r\n"}, {"<", "VALUE a 0 5\r\nhello\r\nVALUE c 0 6\r\nEND\r\nx\r\nEND\r\nEND\r\n"}, {">", "gat 10 a b\r\n"}, {"<", "VALUE b 1 0 7\r\n\r\nEND\r\n"}},
		[]string{"get | text=get ? ? ? | hits=2 | misses=1", "gets | text=gets ? | hits=0 | misses=1", "gat | text=gat ? ? ? | hits=1 | misses=1"},
		nil,
	},
	"others": {
		[]step{{">", "delete a\r\nincr n 5\r\ndecr n 1\r\ntouch a 10\r\nversion\r\nflush_all 10\r\nverbosity 1\r\n"}, {"<", "DELETED\r\n15\r\n14  \r\nNOT_FOUND\r\nVERSION 1.6.18\r\nOK\r\nOK\r\n"},
			{">", "stats\r\nstats reset\r\n"}, {"<", "STAT pid 1\r\nSTAT uptime 2\r\nEND\r\nRESET\r\n"}},
		[]string{"delete | text=delete ?", "incr | text=incr ? ?", "decr | text=decr ? ?", "touch | text=touch ? ? | status_code=NOT_FOUND", "version | text=version",
			"flush_all | text=flush_all ?", "verbosity | text=verbosity ?", "stats | text=stats", "stats | text=stats ?"},
		nil,
	},
	"noreply": {
		[]step{{">", "set a 0 0 1 noreply\r\n1\r\ndelete a noreply\r\nget a\r\n"}, {"<", "END\r\n"}, {">", "quit\r\n"}},
		[]string{"set | text=set ? ? ? ? ? | unanswered=true", "delete | text=delete ? ? | unanswered=true", "get | text=get ? | hits=0 | misses=1", "quit | text=quit | unanswered=true"},
		nil,
	},
	"errors": {
		[]step{{">", "incr a b\r\n"}, {"<", "CLIENT_ERROR invalid numeric delta argument\r\n"}, {">", "get a\r\nset b 0 0 1\r\n1\r\n"}, {"<", "SERVER_ERROR out of memory\r\nERROR\r\n"}},
		[]string{"incr | text=incr ? ? | status_code=CLIENT_ERROR | type=CLIENT_ERROR", "get | text=get ? | status_code=SERVER_ERROR | type=SERVER_ERROR", "set | text=set ? ? ? ? | status_code=ERROR | type=ERROR"},
		nil,
	},
	"meta": {
		[]step{{">", "mg a v t\r\nmg b v\r\nms c 2 T0\r\nhi\r\nmd c\r\nma n\r\nme a\r\nmn\r\n"}, {"<", "VA 5 t-1\r\nhello\r\nEN\r\nHD\r\nNF\r\nHD\r\nME a exp=-1\r\nMN\r\n"}},
		[]string{"mg | text=mg ? ? ? | hits=1 | misses=0", "mg | text=mg ? ? | hits=0 | misses=1", "ms | text=ms ? ? ?", "md | text=md ? | status_code=NF", "ma | text=ma ?", "me | text=me ?", "mn | text=mn"},
		nil,
	},
	"meta, quiet": {
		[]step{{">", "mg a v q k\r\nmg b v q k\r\nmg c v q k\r\nmn\r\n"}, {"<", "VA 1 kb\r\n1\r\nMN\r\n"},
			{">", "ms a 1 q O1\r\n1\r\nms b 1 q O2\r\n1\r\nmg a v O3\r\n"}, {"<", "NS O2\r\nVA 1 O3\r\n1\r\n"},
			{">", "mg a v q\r\nmn\r\n"}, {"<", "VA 1\r\n1\r\nMN\r\n"}},
		[]string{"mg | text=mg ? ? ? ? | hits=0 | misses=1", "mg | text=mg ? ? ? ? | hits=1 | misses=0", "mg | text=mg ? ? ? ? | hits=0 | misses=1", "mn | text=mn",
			"ms | text=ms ? ? ? ?", "ms | text=ms ? ? ? ? | status_code=NS", "mg | text=mg ? ? ? | hits=1 | misses=0",
			"mg | text=mg ? ? ? | hits=1 | misses=0", "mn | text=mn"},
		nil,
	},
	"binary": {
		[]step{{">", ask(0x01, 1, eight, "a", "hello")}, {"<", tell(0x01, 0, 1, "", "", "")}, {">", ask(0x00, 2, "", "a", "") + ask(0x00, 3, "", "b", "")},
			{"<", tell(0x00, 0, 2, "\x00\x00\x00\x00", "", "hello") + tell(0x00, 1, 3, "", "", "Not found")},
			{">", ask(0x04, 4, "", "b", "") + ask(0x05, 5, eight+eight+"\x00\x00\x00\x00", "a", "")}, {"<", tell(0x04, 1, 4, "", "", "Not found") + tell(0x05, 6, 5, "", "", "Non-numeric")},
			{">", ask(0x10, 6, "", "", "")}, {"<", tell(0x10, 0, 6, "", "pid", "1") + tell(0x10, 0, 6, "", "uptime", "2") + tell(0x10, 0, 6, "", "", "")},
			{">", ask(0x07, 7, "", "", "")}, {"<", tell(0x07, 0, 7, "", "", "")}},
		[]string{"set | text=set ?", "get | text=get ? | hits=1 | misses=0", "get | text=get ? | hits=0 | misses=1", "delete | text=delete ? | status_code=1",
			"increment | text=increment ? | status_code=6 | type=6", "stat | text=stat", "quit | text=quit"},
		[]string{"set | text=set a", "get | text=get a | hits=1 | misses=0", "get | text=get b | hits=0 | misses=1", "delete | text=delete b | status_code=1",
			"increment | text=increment a | status_code=6 | type=6", "stat | text=stat", "quit | text=quit"},
	},
	"binary, quiet": {
		[]step{{">", ask(0x0d, 0, "", "a", "") + ask(0x0d, 0, "", "b", "") + ask(0x0d, 0, "", "c", "") + ask(0x0a, 0, "", "", "")},
			{"<", tell(0x0d, 0, 0, "\x00\x00\x00\x00", "b", "hello") + tell(0x0a, 0, 0, "", "", "")},
			{">", ask(0x11, 1, eight, "a", "1") + ask(0x11, 2, eight, "b", "1") + ask(0x0a, 3, "", "", "")}, {"<", tell(0x11, 3, 2, "", "", "Too large.") + tell(0x0a, 0, 3, "", "", "")},
			{">", ask(0x09, 4, "", "a", "") + ask(0x00, 5, "", "b", "")}, {"<", tell(0x00, 0, 5, "\x00\x00\x00\x00", "", "hello")}},
		[]string{"getkq | text=getkq ? | hits=0 | misses=1", "getkq | text=getkq ? | hits=1 | misses=0", "getkq | text=getkq ? | hits=0 | misses=1", "noop | text=noop",
			"setq | text=setq ?", "setq | text=setq ? | status_code=3 | type=3", "noop | text=noop",
			"getq | text=getq ? | hits=0 | misses=1", "get | text=get ? | hits=1 | misses=0"},
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

// TestAmbiguous: an answer that could be for several quiet commands is for none.
func TestAmbiguous(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleServer, false)
	h.Request("mg a v q\r\nmg b v q\r\nmn\r\n")
	h.Reply("VA 1\r\n1\r\nMN\r\n")
	h.Request("get a\r\n")
	h.Reply("END\r\n")
	h.Check(t, exchange.FailureClosed)
	require.Equal(t, []string{"get | text=get ? | hits=0 | misses=1"}, h.Lines())
}

func TestHoles(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	h.Limit = 64
	value := strings.Repeat("v", 1<<20)
	for range 5 {
		h.Request("set k 0 0 1048576\r\n" + value + "\r\n")
		h.Reply("STORED\r\n")
		h.Request("get k l\r\n")
		text := "VALUE k 0 1048576\r\n" + value + "\r\n"
		for len(text) > 0 {
			n := min(16<<10, len(text))
			h.Reply(text[:n])
			text = text[n:]
		}
		h.Reply("END\r\n")
	}
	h.Check(t, exchange.FailureClosed)
	require.Len(t, h.Ended, 10)
	require.Zero(t, h.Stats)
	require.Equal(t, ordered.Heads, h.Parser.Window())
	// Values of which the boundaries are not seen.
	h = protocoltest.New(New(Options{}), exchange.RoleServer, false)
	h.Limit = 64
	for range 3 {
		h.Request("get a b c\r\n")
		h.Reply(strings.Repeat("VALUE k 0 1000\r\n"+value[:1000]+"\r\n", 3) + "END\r\n")
	}
	h.Check(t, exchange.FailureClosed)
	require.Len(t, h.Ended, 3)
	require.NotContains(t, h.Ended[0].Attributes, "ebpf.memcached.hits")
}

func TestMidStream(t *testing.T) {
	for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
		h := protocoltest.New(New(Options{}), role, true)
		h.Request("rest of something\r\n")
		h.Reply("rest of something\r\n")
		for range 10 {
			h.Request("get k\r\n")
			h.Reply("END\r\n")
		}
		h.Check(t, exchange.FailureClosed)
		require.Len(t, h.Ended, 10)
	}
}

func TestMismatch(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	h.Request("get a\r\n")
	h.Reply("END\r\n")
	for range 100 {
		h.Request("what is this\r\n")
		h.Reply("and this\r\n")
	}
	require.ErrorIs(t, h.Err, protocol.ErrMismatch)
	h.Check(t, exchange.FailureClosed)
	require.Len(t, h.Ended, 1)
}

// TestModel cuts and loses bytes at random: a reported exchange is always a right one.
func TestModel(t *testing.T) {
	for seed := range 300 {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		role := exchange.Role(1 + r.IntN(2))
		h := protocoltest.New(New(Options{Settings: &dbconv.Settings{QueryText: dbconv.TextRaw}}), role, r.IntN(4) == 0)
		lossy := r.IntN(3) > 0
		depth := []int{1, 2, 16}[r.IntN(3)]
		useBinary := r.IntN(2) == 0
		value, want := 0, 0
		for range 60 {
			var request, reply strings.Builder
			for range 1 + r.IntN(depth) {
				// The number of keys, or the status, shows a wrong pair.
				value++
				want++
				code := 100 + value%500
				if useBinary {
					request.WriteString(ask(0x01, value, eight, fmt.Sprint(code), strings.Repeat("v", r.IntN(2000))))
					reply.WriteString(tell(0x01, code, value, "", "", strings.Repeat("e", r.IntN(100))))
					continue
				}
				n := 1 + value%7
				request.WriteString("get" + strings.Repeat(" k", n) + "\r\n")
				for range n {
					reply.WriteString(fmt.Sprintf("VALUE k 0 %d\r\n%s\r\n", 20, strings.Repeat("v", 20)))
				}
				reply.WriteString("END\r\n")
			}
			for i, text := range []string{request.String(), reply.String()} {
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
				if lost > 0 {
					h.Segment(protocol.Segment{Dir: dir, Lost: uint64(lost)})
				}
			}
		}
		h.Check(t, exchange.FailureNone)
		for _, e := range h.Ended {
			words := strings.Fields(e.Attributes["db.query.text"].(string))
			if status, ok := e.Attributes["db.response.status_code"].(string); ok && len(words) > 1 && len(words[1]) == 3 {
				require.Equal(t, words[1], status, "seed %d", seed)
			}
			if hits, ok := e.Attributes["ebpf.memcached.hits"]; ok {
				require.EqualValues(t, len(words)-1, hits, "seed %d: %s", seed, e.Line())
			}
		}
		if !lossy {
			require.Equal(t, want, len(h.Ended), "seed %d", seed)
		}
	}
}

func TestDetect(t *testing.T) {
	p := New(Options{})
	protocoltest.Rejects(t, p, "memcached", "memcached meta", "memcached binary")
	for text, want := range map[string]protocol.Verdict{
		"": protocol.Undecided, "ge": protocol.Undecided, "get a\r\n": protocol.Undecided, "set a 0 0 1\r\n": protocol.Accepted, "set a b\r\n": protocol.Rejected,
		"get\r\n": protocol.Rejected, "foo a\r\n": protocol.Rejected, "fo": protocol.Rejected, "get a\x00b\r\n": protocol.Rejected,
		"\x80\x00": protocol.Undecided, ask(0x0a, 0, "", "", ""): protocol.Accepted, ask(0x0a, 0, "", "x", ""): protocol.Rejected, ask(0x7f, 0, "", "x", ""): protocol.Rejected,
	} {
		v, dir := p.Detect(&protocol.Evidence{Role: exchange.RoleClient, Bytes: [2][]byte{protocol.Sent: []byte(text)}})
		require.Equal(t, want, v, "%q", text)
		require.Equal(t, protocol.Sent, dir)
	}
	e := &protocol.Evidence{Role: exchange.RoleServer, Bytes: [2][]byte{protocol.Received: []byte("get a\r\n")}}
	require.Zero(t, testing.AllocsPerRun(100, func() { p.Detect(e) }))
}

// FuzzParser feeds two streams, cut into segments as script says.
func FuzzParser(f *testing.F) {
	for _, tc := range cases {
		var streams [2][]byte
		for _, st := range tc.steps {
			i := 0
			if st[0] == "<" {
				i = 1
			}
			streams[i] = append(streams[i], st[1]...)
		}
		f.Add(streams[0], streams[1], []byte{0x00, 0xff, 0, 0x01, 0xff, 0, 0x40, 20, 3, 0x41, 30, 5, 0x80, 9, 9})
	}
	for _, s := range recorded.Seeds(f) {
		f.Add(s.Requests, s.Replies, append([]byte{0}, s.Script...))
		f.Add(s.Requests, s.Replies, append([]byte{1}, s.Script...))
	}
	f.Fuzz(func(t *testing.T, requests, replies, script []byte) {
		protocoltest.Fuzz(t, New(Options{}), requests, replies, script)
		for _, b := range [][2][]byte{{requests, replies}, {replies, requests}} {
			for _, mid := range []bool{false, true} {
				New(Options{}).Detect(&protocol.Evidence{MidStream: mid, Bytes: b})
			}
		}
	})
}

type nowhere struct{ ended int }

func (*nowhere) Begin(*exchange.Exchange)   {}
func (s *nowhere) End(*exchange.Exchange)   { s.ended++ }
func (*nowhere) Abandon(*exchange.Exchange) {}

// repeat feeds the same steps over and over.
func repeat(steps []step) (run func(), sink *nowhere) {
	sink = &nowhere{}
	p := New(Options{}).New(protocol.Host{Connection: &exchange.Connection{Role: exchange.RoleServer}, Sink: sink, Stats: &protocol.Stats{}, Strings: intern.New(0)}, protocol.Received)
	var offset [2]uint64
	now := uint64(0)
	data := [2][]byte{[]byte(steps[0][1]), []byte(steps[1][1])}
	var s protocol.Segment
	return func() {
		for i, b := range data {
			now += 1000
			dir := protocol.Direction(i)
			s = protocol.Segment{Dir: dir, Len: len(b), Data: b, Time: now, First: now, Offset: offset[dir]}
			s.Identity.Seed = now
			offset[dir] += uint64(len(b))
			if err := p.Segment(&s); err != nil {
				panic(err)
			}
		}
	}, sink
}

var conversations = map[string][]step{
	"get":    {{">", "get user:1000:name\r\n"}, {"<", "VALUE user:1000:name 0 5\r\nhello\r\nEND\r\n"}},
	"set":    {{">", "set user:1000:name 0 0 5\r\nhello\r\n"}, {"<", "STORED\r\n"}},
	"meta":   {{">", "mg user:1000:name v t\r\n"}, {"<", "VA 5 t-1\r\nhello\r\n"}},
	"binary": {{">", ask(0x00, 2, "", "user:1000:name", "")}, {"<", tell(0x00, 0, 2, "\x00\x00\x00\x00", "", "hello")}},
	"error":  {{">", "incr n x\r\n"}, {"<", "CLIENT_ERROR invalid numeric delta argument\r\n"}},
}

func BenchmarkExchange(b *testing.B) {
	for name, steps := range conversations {
		b.Run(name, func(b *testing.B) {
			run, sink := repeat(steps)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
			require.Equal(b, b.N, sink.ended)
		})
	}
}

func TestAllocations(t *testing.T) {
	for name, steps := range conversations {
		run, _ := repeat(steps)
		run()
		require.Zero(t, testing.AllocsPerRun(100, run), name)
	}
}
