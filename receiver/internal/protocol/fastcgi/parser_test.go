// SPDX-License-Identifier: Apache-2.0

package fastcgi

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/protocoltest"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/recorded"
)

// rec is a record, padded as libfcgi does.
func rec(kind byte, id int, content string) string {
	padding := -len(content) & 7
	b := []byte{1, kind, 0, 0, 0, 0, byte(padding), 0}
	binary.BigEndian.PutUint16(b[2:], uint16(id))
	binary.BigEndian.PutUint16(b[4:], uint16(len(content)))
	return string(b) + content + strings.Repeat("\x00", padding)
}

func pairs(kv ...string) string {
	var b []byte
	for i := 0; i < len(kv); i += 2 {
		for _, s := range kv[i : i+2] {
			if len(s) < 128 {
				b = append(b, byte(len(s)))
			} else {
				b = binary.BigEndian.AppendUint32(b, uint32(len(s))|1<<31)
			}
		}
		b = append(b, kv[i]+kv[i+1]...)
	}
	return string(b)
}

func begin(id int) string { return rec(typeBegin, id, "\x00\x01\x01\x00\x00\x00\x00\x00") }

func end(id int, protocolStatus byte) string {
	return rec(typeEnd, id, "\x00\x00\x00\x00"+string([]byte{protocolStatus, 0, 0, 0}))
}

func params(id int, kv ...string) string {
	return rec(typeParams, id, pairs(kv...)) + rec(typeParams, id, "")
}

// get is a request without a body.
func get(id int, uri string) string {
	return begin(id) + params(id, "QUERY_STRING", "", "REQUEST_METHOD", "GET", "REQUEST_URI", uri, "HTTP_HOST", "example.com", "HTTP_USER_AGENT", "curl/8") + rec(typeStdin, id, "")
}

// page is a response.
func page(id int, fields, body string) string {
	return rec(typeStdout, id, fields+"\r\n\r\n"+body) + rec(typeStdout, id, "") + end(id, 0)
}

type step = protocoltest.Step

var cases = map[string]struct {
	steps []step
	want  []string
}{
	"get":      {[]step{{">", get(1, "/a?b=c")}, {"<", page(1, "Content-type: text/html", "hello")}}, []string{"GET /a b=c 200 -/5"}},
	"status":   {[]step{{">", get(1, "/a")}, {"<", page(1, "Status: 404 Not Found\r\nContent-type: text/html", "no")}}, []string{"GET /a - 404 -/2"}},
	"location": {[]step{{">", get(1, "/a")}, {"<", page(1, "Location: /b", "")}}, []string{"GET /a - 302 -/-"}},
	"post": {[]step{{">", begin(1) + params(1, "REQUEST_METHOD", "POST", "SCRIPT_NAME", "/s.php", "QUERY_STRING", "x=1", "HTTPS", "on", "LONG", strings.Repeat("l", 300)) + rec(typeStdin, 1, "body") + rec(typeStdin, 1, "more") + rec(typeStdin, 1, "")},
		{"<", rec(typeStderr, 1, "PHP message: oops") + rec(typeStderr, 1, "") + rec(typeStdout, 1, "Status: 500 Error\r\nContent-") + rec(typeStdout, 1, "type: a\r\n\r\nbo") + rec(typeStdout, 1, "dy") + end(1, 0)}}, []string{"POST /s.php x=1 500 8/4 500"}},
	"keep": {[]step{{">", get(1, "/a")}, {"<", page(1, "A: b", "1")}, {">", get(1, "/b")}, {"<", page(1, "A: b", "22")}}, []string{"GET /a - 200 -/1", "GET /b - 200 -/2"}},
	"multiplexed": {[]step{{">", get(1, "/a") + get(2, "/b") + get(3, "/c")}, {"<", rec(typeStdout, 3, "A: b\r\n\r\nccc") + rec(typeStdout, 1, "Status: 201\r\n\r\na") + end(3, 0) + page(2, "A: b", "bb") + end(1, 0)}},
		[]string{"GET /c - 200 -/3", "GET /b - 200 -/2", "GET /a - 201 -/1"}},
	"refused": {[]step{{">", get(1, "/a")}, {"<", end(1, 2)}}, []string{"GET /a - 0 -/- fastcgi_overloaded"}},
	"values":  {[]step{{">", get(1, "/a") + rec(9, 0, pairs("FCGI_MPXS_CONNS", ""))}, {"<", rec(10, 0, pairs("FCGI_MPXS_CONNS", "0")) + page(1, "A: b", "")}}, []string{"GET /a - 200 -/-"}},
}

func lines(h *protocoltest.Harness) (out []string) {
	for _, e := range h.Ended {
		get := func(k string) string {
			if v, ok := e.Attributes[k]; ok {
				return fmt.Sprint(v)
			}
			return "-"
		}
		status := get("http.response.status_code")
		if status == "-" {
			status = "0"
		}
		path := get("url.path")
		if e.Kind == 3 { // client
			path, _, _ = strings.Cut(strings.TrimPrefix(get("url.full"), "http://"), "?")
		}
		line := fmt.Sprintf("%s %s %s %s %s/%s", get("http.request.method"), path, get("url.query"), status, get("http.request.body.size"), get("http.response.body.size"))
		if v := get("error.type"); v != "-" {
			line += " " + v
		}
		out = append(out, line)
	}
	return out
}

func TestParser(t *testing.T) {
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for _, n := range []int{0, 1, 2, 7, -1, -1, -1} {
				h := protocoltest.New(New(Options{}), exchange.RoleServer, false)
				h.Play(tc.steps, n, r)
				require.NoError(t, h.Err)
				require.Zero(t, h.Open())
				h.Check(t, exchange.FailureClosed)
				require.Equal(t, tc.want, lines(h), "pieces of %d", n)
				require.Zero(t, h.Stats)
				for _, e := range h.Ended {
					require.Equal(t, "fastcgi", e.Attributes["network.protocol.name"])
				}
				h = protocoltest.New(New(Options{}), exchange.RoleClient, false)
				h.Play(tc.steps, n, r)
				h.Check(t, exchange.FailureClosed)
				require.Len(t, h.Ended, len(tc.want))
			}
		})
	}
}

func TestAttributes(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleServer, false)
	h.Request(cases["post"].steps[0][1])
	h.Reply(page(1, "A: b", ""))
	h.Request(get(1, "/x"))
	h.Reply(page(1, "A: b", ""))
	h.Check(t, exchange.FailureClosed)
	require.Equal(t, "https", h.Ended[0].Attributes["url.scheme"])
	require.Equal(t, "http", h.Ended[1].Attributes["url.scheme"])
	require.Equal(t, "example.com", h.Ended[1].Attributes["server.address"])
	require.Equal(t, "curl/8", h.Ended[1].Attributes["user_agent.original"])
}

func TestFailures(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	h.Request(get(1, "/a"))
	h.Request(begin(2))
	h.Reply(rec(typeStdout, 1, "A: b\r\n\r\npart"))
	h.EndOf(protocol.Received, exchange.FailureEOF)
	h.Check(t, exchange.FailureClosed)
	require.Len(t, h.Ended, 1)
	require.Equal(t, exchange.FailureEOF, h.Ended[0].Failure)
}

func TestHoles(t *testing.T) {
	big := strings.Repeat("b", 60000)
	// Bodies of which the heads of records are seen.
	h := protocoltest.New(New(Options{}), exchange.RoleServer, false)
	h.Limit = 512
	for range 3 {
		h.Request(get(1, "/a"))
		h.Reply(rec(typeStdout, 1, "A: b\r\n\r\n"+big))
		h.Reply(rec(typeStdout, 1, big))
		h.Reply(end(1, 0))
	}
	h.Check(t, exchange.FailureClosed)
	require.Equal(t, []string{"GET /a - 200 -/120000", "GET /a - 200 -/120000", "GET /a - 200 -/120000"}, lines(h))
	// Heads in holes: the response ends with the next request, or with the connection.
	h = protocoltest.New(New(Options{}), exchange.RoleServer, false)
	h.Limit = 512
	for range 3 {
		h.Request(get(1, "/a"))
		h.Reply(rec(typeStdout, 1, "A: b\r\n\r\n"+big) + rec(typeStdout, 1, big) + end(1, 0))
	}
	h.Check(t, exchange.FailureClosed)
	require.Equal(t, []string{"GET /a - 200 -/-", "GET /a - 200 -/-", "GET /a - 200 -/-"}, lines(h))
}

func TestMidStream(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleServer, true)
	h.Request("rest of something")
	h.Reply("rest of something")
	for range 3 {
		h.Request(get(1, "/a"))
		h.Reply(page(1, "A: b", "x"))
	}
	h.Check(t, exchange.FailureClosed)
	require.Len(t, h.Ended, 3)
}

func TestMismatch(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	h.Request(get(1, "/a"))
	h.Reply(page(1, "A: b", "x"))
	for range 100 {
		h.Request("what is this")
		h.Reply("and this")
	}
	require.ErrorIs(t, h.Err, protocol.ErrMismatch)
	h.Check(t, exchange.FailureClosed)
}

// TestModel cuts and loses bytes at random: a reported request is always a right one.
func TestModel(t *testing.T) {
	for seed := range 300 {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		h := protocoltest.New(New(Options{}), exchange.RoleServer, r.IntN(4) == 0)
		lossy := r.IntN(3) > 0
		want := 0
		for i := range 60 {
			code := 200 + i
			texts := []string{get(1, fmt.Sprintf("/%d", code)), page(1, fmt.Sprintf("Status: %d", code), strings.Repeat("x", r.IntN(3000)))}
			want++
			for i, text := range texts {
				dir, lost := protocol.Direction(i), 0
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
			if status, ok := e.Attributes["http.response.status_code"]; ok && e.Attributes["url.path"] != nil {
				require.Equal(t, e.Attributes["url.path"], fmt.Sprintf("/%d", status), "seed %d", seed)
			}
		}
		if !lossy {
			require.GreaterOrEqual(t, len(h.Ended), want-1, "seed %d", seed)
		}
	}
}

func TestDetect(t *testing.T) {
	p := New(Options{})
	protocoltest.Rejects(t, p, "fastcgi")
	for i := range 16 {
		v, _ := p.Detect(&protocol.Evidence{Role: exchange.RoleServer, Bytes: [2][]byte{protocol.Received: []byte(begin(1)[:i])}})
		require.Equal(t, protocol.Undecided, v)
	}
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

// repeat feeds the same request over and over.
func repeat() (run func(), sink *nowhere) {
	sink = &nowhere{}
	p := New(Options{}).New(protocol.Host{Connection: &exchange.Connection{Role: exchange.RoleServer}, Sink: sink, Stats: &protocol.Stats{}, Strings: intern.New(0)}, protocol.Received)
	var offset [2]uint64
	now := uint64(0)
	data := [2][]byte{[]byte(get(1, "/a?b=c")), []byte(page(1, "Content-type: text/html", "hello"))}
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

func BenchmarkExchange(b *testing.B) {
	run, sink := repeat()
	b.ReportAllocs()
	for b.Loop() {
		run()
	}
	require.Equal(b, b.N, sink.ended)
}

func TestAllocations(t *testing.T) {
	run, _ := repeat()
	run()
	require.Zero(t, testing.AllocsPerRun(100, run))
}
