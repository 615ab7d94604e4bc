// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

func TestEnds(t *testing.T) {
	const (
		partial    = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
		chunks     = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"
		untilClose = "HTTP/1.1 200 OK\r\n\r\nabc"
	)
	received := func(c exchange.Failure) func(*harness) { return func(h *harness) { h.end(protocol.Received, c) } }
	sent := func(c exchange.Failure) func(*harness) { return func(h *harness) { h.end(protocol.Sent, c) } }
	closed := func(c exchange.Failure) func(*harness) { return func(h *harness) { h.close(c) } }
	answer := func(b string) func(*harness) { return func(h *harness) { h.response(b) } }
	ask := func(b string) func(*harness) { return func(h *harness) { h.request(b) } }
	for name, tc := range map[string]struct {
		server bool
		steps  []func(*harness)
		want   []string
		// end is the time of the step (10 each, from 1010) that ended it.
		end uint64
	}{
		"client reads eof":                         {steps: []func(*harness){ask(get), received(exchange.FailureEOF), closed(exchange.FailureClosed)}, want: []string{"GET /a 0 0/-1 eof"}, end: 1020},
		"client reads reset":                       {steps: []func(*harness){ask(get), received(exchange.FailureReset), closed(exchange.FailureReset)}, want: []string{"GET /a 0 0/-1 connection_reset"}, end: 1020},
		"client times out":                         {steps: []func(*harness){ask(get), received(exchange.FailureTimeout)}, want: []string{"GET /a 0 0/-1 timeout"}, end: 1020},
		"client gives up":                          {steps: []func(*harness){ask(get), closed(exchange.FailureClosed)}, want: []string{"GET /a 0 0/-1 closed"}, end: 1020},
		"client gives up by close":                 {steps: []func(*harness){ask(get), sent(exchange.FailureClosed), closed(exchange.FailureClosed)}, want: []string{"GET /a 0 0/-1 closed"}, end: 1020},
		"client half-closes and is answered":       {steps: []func(*harness){ask(get), sent(exchange.FailureClosed), answer(ok2)}, want: []string{"GET /a 200 0/2"}, end: 1030},
		"client half-closes and is reset":          {steps: []func(*harness){ask(get), sent(exchange.FailureClosed), closed(exchange.FailureReset)}, want: []string{"GET /a 0 0/-1 connection_reset"}, end: 1030},
		"client half-closes and reads eof":         {steps: []func(*harness){ask(get), sent(exchange.FailureClosed), received(exchange.FailureEOF)}, want: []string{"GET /a 0 0/-1 eof"}, end: 1030},
		"client cannot write, but is answered":     {steps: []func(*harness){ask("POST /p HTTP/1.1\r\nContent-Length: 9\r\n\r\nab"), sent(exchange.FailureReset), answer("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")}, want: []string{"POST /p 413 2/0"}, end: 1030},
		"client cannot write":                      {steps: []func(*harness){ask(get), sent(exchange.FailureReset), closed(exchange.FailureClosed)}, want: []string{"GET /a 0 0/-1 connection_reset"}, end: 1020},
		"body cut short":                           {steps: []func(*harness){ask(get), answer(partial), received(exchange.FailureEOF)}, want: []string{"GET /a 200 0/3 eof"}, end: 1030},
		"chunks cut short":                         {steps: []func(*harness){ask(get), answer(chunks), received(exchange.FailureEOF)}, want: []string{"GET /a 200 0/3 eof"}, end: 1030},
		"head cut short":                           {steps: []func(*harness){ask(get), answer("HTTP/1.1 200 OK\r\nCont"), received(exchange.FailureEOF)}, want: []string{"GET /a 0 0/-1 eof"}, end: 1030},
		"only an interim response":                 {steps: []func(*harness){ask(get), answer("HTTP/1.1 100 Continue\r\n\r\n"), received(exchange.FailureEOF)}, want: []string{"GET /a 0 0/-1 eof"}, end: 1030},
		"until close, client":                      {steps: []func(*harness){ask(get), answer(untilClose), received(exchange.FailureEOF)}, want: []string{"GET /a 200 0/3"}, end: 1020},
		"until close, client gives up":             {steps: []func(*harness){ask(get), answer(untilClose), closed(exchange.FailureClosed)}, want: []string{"GET /a 200 0/3 closed"}, end: 1030},
		"until close, reset":                       {steps: []func(*harness){ask(get), answer(untilClose), received(exchange.FailureReset)}, want: []string{"GET /a 200 0/3 connection_reset"}, end: 1030},
		"until close, server":                      {server: true, steps: []func(*harness){ask(get), answer(untilClose), closed(exchange.FailureClosed)}, want: []string{"GET /a 200 0/3"}, end: 1020},
		"until close, server shuts down":           {server: true, steps: []func(*harness){ask(get), answer(untilClose), sent(exchange.FailureClosed), closed(exchange.FailureReset)}, want: []string{"GET /a 200 0/3"}, end: 1020},
		"server hangs up":                          {server: true, steps: []func(*harness){ask(get), closed(exchange.FailureClosed)}, want: []string{"GET /a 0 0/-1 closed"}, end: 1020},
		"server hangs up in the body":              {server: true, steps: []func(*harness){ask(get), answer(partial), sent(exchange.FailureClosed), closed(exchange.FailureClosed)}, want: []string{"GET /a 200 0/3 closed"}, end: 1030},
		"server reads eof and answers":             {server: true, steps: []func(*harness){ask(get), received(exchange.FailureEOF), answer(ok2), closed(exchange.FailureClosed)}, want: []string{"GET /a 200 0/2"}, end: 1030},
		"server reads eof and closes":              {server: true, steps: []func(*harness){ask(get), received(exchange.FailureEOF), closed(exchange.FailureClosed)}, want: []string{"GET /a 0 0/-1 eof"}, end: 1020},
		"server reads reset":                       {server: true, steps: []func(*harness){ask(get), received(exchange.FailureReset), closed(exchange.FailureReset)}, want: []string{"GET /a 0 0/-1 connection_reset"}, end: 1020},
		"server cannot write":                      {server: true, steps: []func(*harness){ask(get), answer(partial), sent(exchange.FailureReset)}, want: []string{"GET /a 200 0/3 connection_reset"}, end: 1030},
		"pipelined":                                {steps: []func(*harness){ask(get + get), answer(ok2), received(exchange.FailureEOF)}, want: []string{"GET /a 200 0/2", "GET /a 0 0/-1 eof"}},
		"incomplete request":                       {server: true, steps: []func(*harness){ask("GET / HTTP/1.1\r\nHo"), received(exchange.FailureEOF), closed(exchange.FailureClosed)}},
		"incomplete request body":                  {server: true, steps: []func(*harness){ask("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"), received(exchange.FailureEOF), closed(exchange.FailureClosed)}, want: []string{"POST / 0 2/-1 eof"}, end: 1020},
		"idle":                                     {steps: []func(*harness){ask(get), answer(ok2), received(exchange.FailureEOF), closed(exchange.FailureClosed)}, want: []string{"GET /a 200 0/2"}, end: 1020},
		"eviction":                                 {steps: []func(*harness){ask(get), closed(exchange.FailureNone)}},
		"eviction after half-close":                {steps: []func(*harness){ask(get), sent(exchange.FailureClosed), closed(exchange.FailureNone)}},
		"tunnel refused by eof":                    {steps: []func(*harness){ask("CONNECT a:1 HTTP/1.1\r\n\r\n"), received(exchange.FailureEOF)}, want: []string{"CONNECT a:1 0 0/-1 eof"}, end: 1020},
		"an end before the request is not its end": {steps: []func(*harness){ask(get), answer(ok2), received(exchange.FailureEOF), ask(get), closed(exchange.FailureReset)}, want: []string{"GET /a 200 0/2", "GET /a 0 0/-1 connection_reset"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newClient()
			if tc.server {
				h = newServer()
			}
			for _, step := range tc.steps {
				step(h)
			}
			require.NoError(t, h.err)
			require.Equal(t, tc.want, h.brief(t))
			if tc.end > 0 {
				require.Equal(t, tc.end, h.ended[0].End)
			}
		})
	}
}

func TestTruncated(t *testing.T) {
	const good = "GET /good HTTP/1.1\r\n\r\n"
	for name, tc := range map[string]struct {
		feed func(h *harness)
		want []string
		ends []uint64
	}{
		"length bodies": {func(h *harness) {
			h.truncated(h.req, "POST /p HTTP/1.1\r\nContent-Length: 20\r\n\r\n12345678901234567890", 45)
			h.truncated(h.req.Other(), "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n1234567890", 40)
			h.segment(protocol.Segment{Dir: h.req.Other(), Len: 10})
			h.request(good)
			h.response(ok2)
		}, []string{"POST /p 200 20/20", "GET /good 200 0/2"}, []uint64{1030, 1050}},
		"chunk headers are seen": {func(h *harness) {
			h.request(get)
			h.truncated(h.req.Other(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n12345678901234567890\r\n0\r\n\r\n", 53)
			h.request(good)
			h.response(ok2)
		}, []string{"GET /a 200 0/20", "GET /good 200 0/2"}, []uint64{1020, 1040}},
		"chunk headers are not seen": {func(h *harness) {
			h.request(get)
			h.truncated(h.req.Other(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n12345678901234567890\r\n3\r\nabc\r\n14\r\n123456789", 53)
			h.truncated(h.req.Other(), "01234567890\r\n14\r\n12345678901234567890\r\n0\r\n\r\n", 5)
			h.request(good)
			h.response(ok2)
		}, []string{"GET /a 200 0/-1", "GET /good 200 0/2"}, []uint64{1030, 1050}},
		"last chunk is a segment": {func(h *harness) {
			h.request(get)
			h.truncated(h.req.Other(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n5\r\nabcdef\r\n", 53)
			h.response("0\r\n\r\n")
			h.request(good)
			h.response(ok2)
		}, []string{"GET /a 200 0/-1", "GET /good 200 0/2"}, []uint64{1030, 1050}},
		"last chunk in bytes": {func(h *harness) {
			h.request(get)
			h.truncated(h.req.Other(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n5\r\nabcdef", 53)
			for _, c := range "\r\n0\r\n\r\n" {
				h.response(string(c))
			}
			require.Len(t, h.ended, 1)
		}, []string{"GET /a 200 0/-1"}, []uint64{1090}},
		"ended by the next request": {func(h *harness) {
			h.request(get)
			h.truncated(h.req.Other(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX: y\r\n\r\n", 48)
			h.request(good)
			h.response(ok2)
		}, []string{"GET /a 200 0/-1", "GET /good 200 0/2"}, []uint64{1020, 1040}},
		"heads are cut": {func(h *harness) {
			h.truncated(h.req, "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 28)
			h.truncated(h.req.Other(), "HTTP/1.1 503 Slow\r\nContent-Length: 3\r\n\r\nabc", 21)
			h.request(good)
			h.response(ok2)
		}, []string{"POST /p 503 -1/-1", "GET /good 200 0/2"}, []uint64{1020, 1040}},
		"a head without a body is cut": {func(h *harness) {
			h.request("HEAD / HTTP/1.1\r\n\r\n")
			h.truncated(h.req.Other(), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 21)
			require.Len(t, h.ended, 1)
			h.request(good)
			h.response(ok2)
		}, []string{"HEAD / 200 0/0", "GET /good 200 0/2"}, []uint64{1020, 1040}},
		"the start line is cut": {func(h *harness) {
			h.truncated(h.req, get, 10)
			h.response(ok2)
			h.request(good)
			h.truncated(h.req.Other(), ok2, 10)
			h.request("GET /2 HTTP/1.1\r\n\r\n")
			h.response(ok0)
		}, []string{"GET /2 200 0/0"}, nil},
		"responses hide in the hole": {func(h *harness) {
			h.request(get + get + get)
			h.truncated(h.req.Other(), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"+ok2, 42)
			h.response("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
		}, []string{"GET /a 200 0/3"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := newClient()
			tc.feed(h)
			require.NoError(t, h.err)
			require.Equal(t, tc.want, h.brief(t))
			for i, end := range tc.ends {
				require.Equal(t, end, h.ended[i].End)
			}
			require.Zero(t, h.stats.Invalid)
		})
	}
	// Orderly closed, the end of an unframed response is its last segment;
	// after a reset nobody knows.
	for cause, want := range map[exchange.Failure][]string{exchange.FailureEOF: {"GET /a 200 0/-1"}, exchange.FailureReset: nil} {
		h := newClient()
		h.request(get)
		h.truncated(h.req.Other(), "HTTP/1.1 200 OK\r\nX: y\r\n\r\nabc", 19)
		h.end(protocol.Received, cause)
		require.Equal(t, want, h.brief(t))
	}
}

func TestGaps(t *testing.T) {
	const good = "GET /good HTTP/1.1\r\n\r\n"
	for name, tc := range map[string]struct {
		feed func(h *harness)
		want []string
	}{
		"in length bodies": {func(h *harness) {
			h.request("POST /p HTTP/1.1\r\nContent-Length: 20\r\n\r\n12345")
			h.requestAfter(10, "67890")
			h.response("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n12345")
			h.responseAfter(14, "0")
		}, []string{"POST /p 200 20/20", "GET /good 200 0/2"}},
		"the end of a request body": {func(h *harness) {
			h.request("POST /p HTTP/1.1\r\nContent-Length: 20\r\n\r\n12345")
			h.response(ok2)
			h.requestAfter(15, good)
			h.response(ok2)
		}, []string{"POST /p 200 5/2", "GET /good 200 0/2", "GET /good 200 0/2"}},
		"the end of a response": {func(h *harness) {
			h.request(get)
			h.response("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n12345")
			h.request(good)
			h.responseAfter(15, ok2)
		}, []string{"GET /good 200 0/2", "GET /good 200 0/2"}},
		"in a chunk": {func(h *harness) {
			h.request(get)
			h.response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n12345")
			h.responseAfter(5, "\r\n0\r\n\r\n")
		}, []string{"GET /a 200 0/10", "GET /good 200 0/2"}},
		"of chunks": {func(h *harness) {
			h.request(get)
			h.response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n12345")
			h.responseAfter(50, "\r\n0\r\n\r\n")
		}, []string{"GET /good 200 0/2"}},
		"a request": {func(h *harness) {
			h.response("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
			h.requestAfter(30, good)
			h.response(ok2)
		}, []string{"GET /good 200 0/2", "GET /good 200 0/2"}},
		"a response": {func(h *harness) {
			for range 3 {
				h.request(get)
				h.response(ok0)
			}
			h.request(get)
			h.request(good)
			h.responseAfter(30, ok2)
		}, []string{"GET /a 200 0/0", "GET /a 200 0/0", "GET /a 200 0/0", "GET /good 200 0/2"}},
		"a response, of a client that may pipeline": {func(h *harness) {
			h.request(get)
			h.request(good)
			h.responseAfter(30, ok2)
			h.request(good)
			h.response(ok2)
			h.now += quiet
		}, []string{"GET /good 200 0/2"}},
		"a whole exchange": {func(h *harness) {
			h.request(get)
			h.response(ok2)
			h.requestAfter(30, good)
			h.responseAfter(30, ok2)
		}, []string{"GET /a 200 0/2", "GET /good 200 0/2"}},
		"a request's head": {func(h *harness) {
			h.request("GET /a HTTP/1.1\r\nHost:")
			h.requestAfter(10, "abc\r\n\r\n")
			h.response(ok0)
		}, []string{"GET /good 200 0/2"}},
		"a response's head": {func(h *harness) {
			h.request(get)
			h.response("HTTP/1.1 200 OK\r\nFoo")
			h.responseAfter(10, "abc\r\n\r\n")
		}, []string{"GET /good 200 0/2"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newClient()
			tc.feed(h)
			h.request(good)
			h.response(ok2)
			require.NoError(t, h.err)
			require.Equal(t, tc.want, h.brief(t))
		})
	}
}
