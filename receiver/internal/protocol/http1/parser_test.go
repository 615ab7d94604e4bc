// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// step is a run of bytes in one direction: ">" a request, "<" a response.
type step struct {
	arrow string
	bytes string
}

const (
	get = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
	ok2 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	ok0 = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
)

// scenarios are conversations whose outcome must not depend on how they are cut
// into segments.
var scenarios = []struct {
	name  string
	steps []step
	// eof: the side that sends responses ends the connection.
	eof  bool
	want []string
	err  error
}{
	{name: "get", steps: []step{{">", get}, {"<", ok2}}, want: []string{"GET /a 200 0/2"}},
	{name: "keep alive", steps: []step{{">", get}, {"<", ok2}, {">", get}, {"<", ok0}, {">", get}, {"<", ok2}},
		want: []string{"GET /a 200 0/2", "GET /a 200 0/0", "GET /a 200 0/2"}},
	{name: "post length", steps: []step{{">", "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"}, {"<", ok2}},
		want: []string{"POST /p 200 5/2"}},
	{name: "lower-case names and odd spacing", steps: []step{{">", "POST /p HTTP/1.1\r\ncontent-LENGTH:\t 5 \r\n\r\nhello"}, {"<", "HTTP/1.1 201 \r\ncontent-length:2\r\n\r\nok"}},
		want: []string{"POST /p 201 5/2"}},
	{name: "space before colon", steps: []step{{">", "POST /p HTTP/1.1\r\nContent-Length : 5\r\n\r\nhello"}, {"<", ok2}, {">", get}, {"<", ok0}},
		want: []string{"POST /p 200 5/2", "GET /a 200 0/0"}},
	{name: "no reason phrase", steps: []step{{">", get}, {"<", "HTTP/1.1 204\r\n\r\n"}}, want: []string{"GET /a 204 0/0"}},
	{name: "chunked", steps: []step{
		{">", "PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"<", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00a;x=\"y;z\";q\r\n0123456789\r\n0;last\r\n\r\n"},
		{">", get}, {"<", ok0}},
		want: []string{"PUT /c 200 5/13", "GET /a 200 0/0"}},
	{name: "chunked with trailers", steps: []step{{">", get},
		{"<", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\nA \r\n0123456789\r\n0\r\nGrpc-Status: 0\r\nX: y\r\n\r\n"},
		{">", get}, {"<", ok0}},
		want: []string{"GET /a 200 0/10", "GET /a 200 0/0"}},
	{name: "chunk data that looks like an end", steps: []step{{">", get},
		{"<", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n\r\n0\r\n\r\nHT\r\n0\r\n\r\n"}, {">", get}, {"<", ok0}},
		want: []string{"GET /a 200 0/9", "GET /a 200 0/0"}},
	{name: "both codings on two lines", steps: []step{{">", get},
		{"<", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"}},
		want: []string{"GET /a 200 0/1"}},
	{name: "transfer-encoding overrides content-length", steps: []step{{">", "POST /c HTTP/1.1\r\nContent-Length: 999\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"},
		{"<", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n2\r\nab\r\n0\r\n\r\n"}, {">", get}, {"<", ok0}},
		want: []string{"POST /c 200 1/2", "GET /a 200 0/0"}},
	{name: "until close", steps: []step{{">", get}, {"<", "HTTP/1.1 200 OK\r\n\r\nsome\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody"}}, eof: true,
		want: []string{"GET /a 200 0/31"}},
	{name: "other coding until close", steps: []step{{">", get}, {"<", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: gzip\r\n\r\nbody"}}, eof: true,
		want: []string{"GET /a 200 0/4"}},
	{name: "until close without a body", steps: []step{{">", get}, {"<", "HTTP/1.0 200 OK\r\n\r\n"}}, eof: true, want: []string{"GET /a 200 0/0"}},
	{name: "head", steps: []step{{">", "HEAD /h HTTP/1.1\r\n\r\n"}, {"<", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"}, {">", get}, {"<", ok2}},
		want: []string{"HEAD /h 200 0/0", "GET /a 200 0/2"}},
	{name: "head chunked", steps: []step{{">", "HEAD /h HTTP/1.1\r\n\r\n"}, {"<", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"}, {">", get}, {"<", ok2}},
		want: []string{"HEAD /h 200 0/0", "GET /a 200 0/2"}},
	{name: "not modified", steps: []step{{">", get}, {"<", "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n"}, {">", get}, {"<", ok2}},
		want: []string{"GET /a 304 0/0", "GET /a 200 0/2"}},
	{name: "no content", steps: []step{{">", "DELETE /d HTTP/1.1\r\n\r\n"}, {"<", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"}, {">", get}, {"<", ok2}},
		want: []string{"DELETE /d 204 0/0", "GET /a 200 0/2"}},
	{name: "continue", steps: []step{{">", "POST /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"}, {"<", "HTTP/1.1 100 Continue\r\n\r\n"}, {">", "abc"},
		{"<", "HTTP/1.1 103 Early Hints\r\nLink: </s>\r\nContent-Length: 5\r\n\r\n" + ok2}, {">", get}, {"<", ok0}},
		want: []string{"POST /p 200 3/2", "GET /a 200 0/0"}},
	{name: "expectation failed, body not sent", steps: []step{{">", "POST /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3000\r\n\r\n"},
		{"<", "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"}},
		want: []string{"POST /p 417 0/0"}},
	{name: "early response", steps: []step{{">", "POST /p HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"}, {"<", "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"},
		{">", "defghij" + get}, {"<", ok2}},
		want: []string{"POST /p 413 3/2", "GET /a 200 0/2"}},
	{name: "early response, chunked request", steps: []step{{">", "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\nde"}, {"<", "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"},
		{">", "fg\r\n0\r\nT: x\r\n\r\n" + get}, {"<", ok2}},
		want: []string{"POST /p 413 5/2", "GET /a 200 0/2"}},
	{name: "response to be read while the request is sent", steps: []step{{">", "POST /p HTTP/1.1\r\nContent-Length: 4\r\n\r\nab"}, {"<", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nxy"},
		{">", "cd"}, {"<", "zz"}, {">", get}, {"<", ok2}},
		want: []string{"POST /p 200 4/4", "GET /a 200 0/2"}},
	{name: "equal content-lengths", steps: []step{{">", "POST /p HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3, 3\r\n\r\nabc" + get}, {"<", ok2 + ok0}},
		want: []string{"POST /p 200 3/2", "GET /a 200 0/0"}},
	{name: "pipelined", steps: []step{{">", strings.Repeat(get, 5)}, {"<", ok2 + ok0 + ok2 + ok0 + ok2}},
		want: []string{"GET /a 200 0/2", "GET /a 200 0/0", "GET /a 200 0/2", "GET /a 200 0/0", "GET /a 200 0/2"}},
	{name: "pipelined, mixed", steps: []step{
		{">", get + "HEAD /b HTTP/1.1\r\n\r\nPOST /c HTTP/1.1\r\nContent-Length: 16\r\n\r\nGET / HTTP/1.1\r\n" + "GET /d HT"},
		{"<", "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Le"},
		{">", "TP/1.1\r\n\r\nGET /e HTTP/1.1\r\n\r\n"},
		{"<", "ngth: 9\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oops\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 304 NM\r\n\r\nHTTP/1.1 200 OK\r\n\r\nrest"}},
		eof:  true,
		want: []string{"GET /a 404 0/2", "HEAD /b 200 0/0", "POST /c 500 16/1", "GET /d 304 0/0", "GET /e 200 0/4"}},
	{name: "http/1.0", steps: []step{{">", "GET /old HTTP/1.0\r\n\r\n"}, {"<", "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"}}, eof: true,
		want: []string{"GET /old 200 0/5"}},
	{name: "http/1.0 keep-alive", steps: []step{{">", "GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"}, {"<", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello"},
		{">", "GET /old HTTP/1.0\r\n\r\n"}, {"<", "HTTP/1.1 200 OK\r\n\r\nbye"}}, eof: true,
		want: []string{"GET /old 200 0/5", "GET /old 200 0/3"}},
	{name: "bare line feeds", steps: []step{{">", "POST /lf HTTP/1.1\nHost: h\nContent-Length: 2\n\nhi"}, {"<", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\nT: x\n\n"}, {">", get}, {"<", ok0}},
		want: []string{"POST /lf 200 2/2", "GET /a 200 0/0"}},
	{name: "empty lines before the start line", steps: []step{{">", "\r\n\n\r\n" + get}, {"<", "\r\n" + ok2}, {">", "\r\n" + get}, {"<", ok0}},
		want: []string{"GET /a 200 0/2", "GET /a 200 0/0"}},
	{name: "folded headers", steps: []step{{">", "POST /f HTTP/1.1\r\nX: a\r\n b\r\n\tc\r\nContent-Length:\r\n 3\r\nHost: h\r\n\r\nabc"}, {"<", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip,\r\n\tchunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"}, {">", get}, {"<", ok0}},
		want: []string{"POST /f 200 3/1", "GET /a 200 0/0"}},
	{name: "folded line without a header", steps: []step{{">", "POST /f HTTP/1.1\r\n Content-Length: 9\r\n\tX: y\r\nContent-Length: 3\r\n\r\nabc"}, {"<", ok2}, {">", get}, {"<", ok0}},
		want: []string{"POST /f 200 3/2", "GET /a 200 0/0"}},
	{name: "target forms", steps: []step{{">", "GET http://example.com:81/x?y=z HTTP/1.1\r\n\r\n"}, {"<", ok0}, {">", "OPTIONS * HTTP/1.1\r\n\r\n"}, {"<", ok0}, {">", "GET /\xc3\xa9?a=\"<>\" HTTP/1.1\r\n\r\n"}, {"<", ok0}},
		want: []string{"GET http://example.com:81/x?y=z 200 0/0", "OPTIONS * 200 0/0", "GET /\xc3\xa9?a=\"<>\" 200 0/0"}},
	{name: "methods", steps: []step{{">", "M-SEARCH * HTTP/1.1\r\n\r\n"}, {"<", ok0}, {">", "get /lower HTTP/1.1\r\n\r\n"}, {"<", ok0}, {">", "!#$%&'*+-.^_`|~09 /x HTTP/1.1\r\n\r\n"}, {"<", ok0}},
		want: []string{"M-SEARCH * 200 0/0", "get /lower 200 0/0", "!#$%&'*+-.^_`|~09 /x 200 0/0"}},
	{name: "connect", steps: []step{{">", "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"}, {"<", "HTTP/1.1 200 Connection established\r\nContent-Length: 5\r\n\r\n"}},
		want: []string{"CONNECT example.com:443 200 0/0"}, err: protocol.ErrOpaque},
	{name: "connect refused", steps: []step{{">", "CONNECT example.com:443 HTTP/1.1\r\n\r\n"}, {"<", "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno"}, {">", get}, {"<", ok2}},
		want: []string{"CONNECT example.com:443 407 0/2", "GET /a 200 0/2"}},
	{name: "upgrade", steps: []step{{">", "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"}, {"<", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"}},
		want: []string{"GET /ws 101 0/0"}, err: protocol.ErrOpaque},
	{name: "upgrade ignored", steps: []step{{">", "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"}, {"<", ok2}, {">", get}, {"<", ok0}},
		want: []string{"GET /ws 200 0/2", "GET /a 200 0/0"}},
	{name: "big head", steps: []step{{">", "GET /big HTTP/1.1\r\nCookie: " + strings.Repeat("c", 3000) + "\r\n\r\n"}, {"<", ok2}},
		want: []string{"GET /big 200 0/2"}},
	{name: "multi-status", steps: []step{{">", "PROPFIND /dav HTTP/1.1\r\nDepth: 1\r\n\r\n"}, {"<", "HTTP/1.1 207 Multi-Status\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}, {">", get}, {"<", ok0}},
		want: []string{"PROPFIND /dav 207 0/0", "GET /a 200 0/0"}},
}

// play feeds steps, each in pieces; cut decides where a step is cut next.
func play(h *harness, steps []step, cut func(rest string) int) {
	for _, st := range steps {
		for rest := st.bytes; len(rest) > 0; {
			n := cut(rest)
			if st.arrow == ">" {
				h.request(rest[:n])
			} else {
				h.response(rest[:n])
			}
			rest = rest[n:]
		}
	}
}

func whole(rest string) int { return len(rest) }

func TestScenarios(t *testing.T) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			for _, client := range []bool{true, false} {
				run := func(what string, cut func(string) int) {
					h := newServer()
					if client {
						h = newClient()
					}
					play(h, sc.steps, cut)
					if sc.eof {
						if client {
							h.end(protocol.Received, exchange.FailureEOF)
						} else {
							h.end(protocol.Sent, exchange.FailureClosed)
						}
					}
					require.Equal(t, sc.err, h.err, what)
					require.Equal(t, sc.want, h.brief(t), what)
					require.Zero(t, h.stats, what)
					require.Zero(t, h.abandoned, what)
				}
				run("whole", whole)
				run("bytes", func(string) int { return 1 })
				for _, n := range []int{2, 3, 7} {
					run(fmt.Sprint("pieces of ", n), func(rest string) int { return min(n, len(rest)) })
				}
				longest := 0
				for _, st := range sc.steps {
					longest = max(longest, len(st.bytes))
				}
				stride := 1 + longest/400
				for at := 1; at < longest; at += stride {
					first := true
					run(fmt.Sprint("cut at ", at), func(rest string) int {
						if first && at < len(rest) {
							first = false
							return at
						}
						first = true
						return len(rest)
					})
				}
			}
		})
	}
}

func TestTimes(t *testing.T) {
	for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer, exchange.RoleUnknown} {
		for _, req := range []protocol.Direction{protocol.Sent, protocol.Received} {
			h := newHarness(role, req)
			seg := func(dir protocol.Direction, first, time uint64, pid uint32, b string) {
				h.segment(protocol.Segment{Dir: dir, First: first, Time: time, PID: pid, TID: pid, Data: []byte(b)})
			}
			seg(req, 90, 100, 1, "\r\n")
			seg(req, 190, 200, 2, "GET /a ")
			seg(req, 290, 300, 3, "HTTP/1.1\r\n\r\n")
			seg(req.Other(), 390, 400, 4, "HTTP/1.1 100 Continue\r\n\r\n")
			seg(req.Other(), 490, 500, 4, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
			seg(req.Other(), 590, 600, 4, "12")
			seg(req.Other(), 690, 700, 4, "34\r\n")
			h.check(t)
			want := role
			if role == exchange.RoleUnknown {
				want = exchange.RoleServer
				if req == protocol.Sent {
					want = exchange.RoleClient
				}
			}
			require.Equal(t, []record{{Method: "GET", Target: "/a", Version: httpconv.Version11, Status: 200, ResponseBody: 4,
				Start: 190, End: 700, PID: 2, Role: want}}, h.ended)
		}
	}
}

func TestFields(t *testing.T) {
	h := newServer()
	h.request("GET /" + strings.Repeat("x", 9000) + " HTTP/1.0\r\nhost:  example.com:80 \r\nUSER-AGENT:curl/8\r\nHost: other\r\nUser-agent: no\r\nHos: t\r\nHostx: y\r\n\r\n")
	h.response(ok0)
	h.check(t)
	require.Len(t, h.ended, 1)
	r := h.ended[0]
	require.Equal(t, "example.com:80", r.Host)
	require.Equal(t, "curl/8", r.UserAgent)
	require.Equal(t, httpconv.Version10, r.Version)
	require.Len(t, r.Target, httpconv.MaxTarget)
}

func TestIdentity(t *testing.T) {
	id := func(n byte) exchange.Identity {
		x := exchange.Identity{Seed: uint64(n), Trace: uint64(n), Parent: uint64(n)}
		return x
	}
	h := newServer()
	h.segment(protocol.Segment{Dir: h.req, Identity: id(1), Data: []byte("POST /1 HTTP/1.1\r\nContent-Length: 3\r\n\r\na")})
	h.segment(protocol.Segment{Dir: h.req, Identity: id(2), Data: []byte("bc" + get + get)}) // 2, new
	h.segment(protocol.Segment{Dir: h.req, Data: []byte("GET ")})                            // new
	h.segment(protocol.Segment{Dir: h.req, Identity: id(3), Data: []byte("/ HTTP/1.1\r\n\r\n" + get)})
	h.response(strings.Repeat(ok0, 5))
	h.check(t)
	require.Len(t, h.ended, 5)
	require.Equal(t, id(1), h.identities[0])
	require.Equal(t, id(2), h.identities[1])
	require.True(t, h.identities[2].Parent == 0)
	require.True(t, h.identities[3].Parent == 0)
	require.Equal(t, id(3), h.identities[4])
}

func TestInvalid(t *testing.T) {
	for name, bad := range map[string]string{
		"no version":           "GET /\r\n\r\n",
		"http/2":               "GET / HTTP/2.0\r\n\r\n",
		"preface":              "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"space in target":      "GET /a b HTTP/1.1\r\n\r\n",
		"two spaces":           "GET  / HTTP/1.1\r\n\r\n",
		"no target":            "GET HTTP/1.1\r\n\r\n",
		"control in target":    "GET /\x01 HTTP/1.1\r\n\r\n",
		"not a token":          "G(T / HTTP/1.1\r\n\r\n",
		"long method":          strings.Repeat("G", 33) + " / HTTP/1.1\r\n\r\n",
		"space before version": "GET / HTTP/1.1 \r\n\r\n",
		"head too long":        "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", maxHead) + "\r\n\r\n",
		"binary":               "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	} {
		t.Run(name, func(t *testing.T) {
			h := newServer()
			h.request(get)
			h.response(ok0)
			h.request(bad)
			require.Equal(t, uint64(1), h.stats.Invalid)
			h.response("HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad")
			h.request("GET /good HTTP/1.1\r\n\r\n")
			h.response(ok2)
			require.NoError(t, h.err)
			require.Equal(t, []string{"GET /a 200 0/0", "GET /good 200 0/2"}, h.brief(t))
			require.Equal(t, uint64(1), h.stats.Resyncs)

			h = newServer()
			for i := 0; i < len(bad); i += 1000 {
				h.request(bad[i:min(len(bad), i+1000)])
			}
			h.request("\r\n\r\n")
			require.Empty(t, h.brief(t))
		})
	}
}

func TestInvalidResponse(t *testing.T) {
	for _, bad := range []string{"HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 20\r\n\r\n", "HTTP/2 200 OK\r\n\r\n", "ICY 200 OK\r\n\r\n", "HTTP/1.1 099 X\r\n\r\n", "\x00\x01\x02\r\n\r\n"} {
		h := newClient()
		h.request(get)
		h.response(ok0)
		h.request(get)
		h.response(bad)
		h.request("GET /good HTTP/1.1\r\n\r\n")
		h.response(ok2)
		require.NoError(t, h.err)
		require.Equal(t, []string{"GET /a 200 0/0", "GET /good 200 0/2"}, h.brief(t), bad)
		require.Equal(t, 1, h.abandoned)
		require.Equal(t, uint64(1), h.stats.Invalid)
	}
}

func TestMismatch(t *testing.T) {
	h := newServer()
	h.request(get)
	h.response(ok0)
	for range maxFailures {
		require.NoError(t, h.err)
		h.request("\x00\x01\x02\x03")
	}
	require.ErrorIs(t, h.err, protocol.ErrMismatch)
	require.Equal(t, []string{"GET /a 200 0/0"}, h.brief(t))

	h = newServer()
	for range 100 {
		h.request("\x00\x01\x02\x03")
		h.response("\x00\x01\x02\x03")
	}
	require.ErrorIs(t, h.err, protocol.ErrMismatch)
	require.Empty(t, h.brief(t))
}

func TestConflictingLengths(t *testing.T) {
	for _, v := range []string{"3\r\nContent-Length: 4", "3, 4", "", "-1", "+3", "0x3", "99999999999999999999", "3,"} {
		// The server refuses (RFC 9112 section 6.3 rule 5).
		h := newServer()
		h.request("POST /p HTTP/1.1\r\nContent-Length: " + v + "\r\n\r\nabc")
		h.response("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		h.close(exchange.FailureClosed)
		require.Equal(t, []string{"POST /p 400 -1/0"}, h.brief(t), v)
		require.Equal(t, uint64(1), h.stats.Invalid)
		// The client that goes on nevertheless is not misunderstood.
		h = newClient()
		h.request(get)
		h.response("HTTP/1.1 200 OK\r\nContent-Length: " + v + "\r\n\r\nabc")
		h.request("GET /good HTTP/1.1\r\n\r\n")
		h.response(ok2)
		require.Equal(t, []string{"GET /a 200 0/-1", "GET /good 200 0/2"}, h.brief(t), v)
	}
}

func TestBrokenChunk(t *testing.T) {
	for _, body := range []string{"x\r\n", "\r\n", ";\r\n", "5\r\nabcdeXX5\r\n", "ffffffffffffffff\r\nabc", "5;" + strings.Repeat("x", maxChunkLine) + "\r\n", "0\r\nX: " + strings.Repeat("x", maxTrailer) + "\r\n\r\n"} {
		h := newClient()
		h.request(get)
		h.response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
		h.request("GET /good HTTP/1.1\r\n\r\n")
		h.response(ok2)
		require.Equal(t, []string{"GET /a 200 0/-1", "GET /good 200 0/2"}, h.brief(t), "%.20q", body)
		require.Equal(t, uint64(1), h.stats.Invalid)
	}
}

func TestMidStream(t *testing.T) {
	for name, feed := range map[string]func(h *harness){
		"nothing":                  func(h *harness) {},
		"middle of a request body": func(h *harness) { h.request("abc"); h.request("def\r\n\r\n"); h.response(ok2) },
		"middle of a response":     func(h *harness) { h.response("abc"); h.response("\r\n0\r\n\r\n") },
		"response only":            func(h *harness) { h.response(ok2) },
		"response to head":         func(h *harness) { h.response("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n") },
		"response until close":     func(h *harness) { h.response("HTTP/1.1 200 OK\r\n\r\nabc") },
		"chunked response": func(h *harness) {
			h.response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
			h.response("cde\r\n0\r\n\r\n")
		},
		"half a response head": func(h *harness) { h.response("tent-Length: 2\r\n\r\nok") },
		"half a request head":  func(h *harness) { h.request("st: x\r\n\r\n"); h.response(ok2) },
		"interim response":     func(h *harness) { h.response("HTTP/1.1 100 Continue\r\n\r\n"); h.request("body"); h.response(ok2) },
		"beginning of a token": func(h *harness) { h.request("abc"); h.response(ok2) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newClient()
			feed(h)
			for range 3 {
				h.request("GET /good HTTP/1.1\r\n\r\n")
				h.response("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc")
			}
			require.NoError(t, h.err)
			require.Equal(t, []string{"GET /good 404 0/3", "GET /good 404 0/3", "GET /good 404 0/3"}, h.brief(t))
			require.Zero(t, h.stats.Invalid)
		})
	}
	h := newClient()
	h.response(ok2)
	require.Equal(t, uint64(1), h.stats.Unmatched)
}

// A send is reported when the call returns; another thread may have read the
// response before that.
func TestResponseReportedFirst(t *testing.T) {
	type seg = protocol.Segment
	late := func(b string) seg { return seg{Dir: protocol.Sent, First: 2000, Time: 3000, Data: []byte(b)} }
	early := func(b string) seg { return seg{Dir: protocol.Received, First: 2500, Time: 2500, Data: []byte(b)} }
	more := func(b string) seg { return seg{Dir: protocol.Received, First: 3500, Time: 3500, Data: []byte(b)} }
	cut := func(s seg) seg {
		s.Len = len(s.Data)
		s.Data = s.Data[:20]
		return s
	}
	for name, tc := range map[string]struct {
		segments []seg
		want     []string
		end      uint64
	}{
		"complete":     {[]seg{early(ok2), late(get)}, []string{"GET /a 200 0/2"}, 2500},
		"head only":    {[]seg{early("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"), late(get), more("ok")}, []string{"GET /a 200 0/2"}, 3500},
		"part of body": {[]seg{early("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"), late(get), more("k")}, []string{"GET /a 200 0/2"}, 3500},
		"head":         {[]seg{early("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"), late("HEAD / HTTP/1.1\r\n\r\n")}, []string{"HEAD / 200 0/0"}, 2500},
		"pipelined":    {[]seg{early(ok2), late(get + "GET /b HTTP/1.1\r\n\r\n"), more("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")}, []string{"GET /a 200 0/2", "GET /b 404 0/0"}, 2500},
		"cut":          {[]seg{cut(early(ok2)), late(get)}, []string{"GET /a 200 0/-1"}, 2500},
		"cut, more":    {[]seg{cut(early(ok2)), more("o"), late(get), more("k")}, []string{"GET /a 200 0/-1"}, 3500},
		"two":          {[]seg{early(ok2 + "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), late(get + "GET /b HTTP/1.1\r\n\r\n")}, []string{"GET /b 404 0/0"}, 2500},
	} {
		t.Run(name, func(t *testing.T) {
			h := newClient()
			for _, s := range tc.segments {
				h.segment(s)
			}
			h.now = 4000
			h.request("GET /next HTTP/1.1\r\n\r\n")
			h.response("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
			require.Equal(t, append(tc.want, "GET /next 503 0/0"), h.brief(t))
			require.Equal(t, tc.end, h.ended[0].End)
			require.Equal(t, uint64(2000), h.ended[0].Start)
		})
	}
}

func TestManyInFlight(t *testing.T) {
	h := newServer()
	for range maxInFlight {
		h.request(get)
	}
	require.Len(t, h.open, maxInFlight)
	h.request(get)
	require.Empty(t, h.open)
	require.Equal(t, maxInFlight, h.abandoned)
	require.NotZero(t, h.stats.Resyncs)
	for range maxInFlight + 1 {
		h.response(ok2)
	}
	require.Empty(t, h.ended)
	h.now += quiet
	h.request(get)
	h.response(ok2)
	require.Equal(t, []string{"GET /a 200 0/2"}, h.brief(t))
}

func TestExpectationFailedAndReused(t *testing.T) {
	h := newClient()
	h.request("POST /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3000\r\n\r\n")
	h.response("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
	h.request(get)
	h.response(ok2)
	require.Equal(t, []string{"POST /p 401 0/2", "GET /a 200 0/2"}, h.brief(t))
}

func TestWindow(t *testing.T) {
	h := newClient()
	pair := func(extra int) {
		h.request("GET / HTTP/1.1\r\nX: " + strings.Repeat("x", extra) + "\r\n\r\n")
		h.response(ok2)
	}
	for range settledExchanges - 1 {
		pair(300)
		require.Equal(t, protocol.DefaultWindow, h.parser.Window())
	}
	pair(300)
	require.Equal(t, protocol.Window{Sent: 16 << 10, Received: 256, After: 64}, h.parser.Window())
	pair(10)
	require.Equal(t, protocol.Window{Sent: 16 << 10, Received: 256, After: 64}, h.parser.Window())
	pair(20000)
	require.Equal(t, protocol.Window{Sent: 25216, Received: 256, After: 64}, h.parser.Window())
	h.request(get)
	h.request(get)
	require.Equal(t, protocol.Window{Sent: 64 << 10, Received: 64 << 10, After: 64}, h.parser.Window())
	h.response(ok2 + ok2)
	pair(10)
	require.Equal(t, uint32(64<<10), h.parser.Window().Sent)
	h.check(t)
}
