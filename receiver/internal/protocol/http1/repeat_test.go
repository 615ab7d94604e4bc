// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A head that is recognised means what it does when it is parsed.
func TestRepeatAgreesWithParsing(t *testing.T) {
	lines := []string{
		"Host: a.example:8080", "host:b", "Host:", "User-Agent: curl/8", "USER-AGENT:  ", "Content-Length: 0", "Content-Length: 12",
		"Content-Length: x", "Transfer-Encoding: chunked", "transfer-encoding : gzip", "Expect: 100-continue", "Connection: close",
		"Date: Mon, 23 Nov 2026 08:00:00 GMT", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"tracestate: a=1", "b3: 0", "X-B3-Sampled: 1", "Uber-Trace-Id: 1:2:0:1", "x-amzn-trace-id: Root=1", "X-Amzn", "X-b", "b", " folded", "X: " + strings.Repeat("y", maxRepeat/2), "\x00odd", "\xffodd",
	}
	starts := [2][]string{
		{"HTTP/1.1 200 OK", "HTTP/1.0 404 Not Found", "HTTP/1.1 204 ", "HTTP/2 200"},
		{"GET / HTTP/1.1", "GET /a?b=c HTTP/1.0", "POST /a%20long/path/of\x7fbytes HTTP/1.1", "HEAD /a/long/path/without/that HTTP/1.1", "broken"},
	}
	rng := rand.New(rand.NewPCG(1, 2))
	hits := 0
	for range 2000 {
		var r repeat
		request := rng.IntN(2)
		var block string
		for range 20 {
			if block == "" || rng.IntN(3) == 0 {
				block = "\r\n"
				for range rng.IntN(6) {
					block += lines[rng.IntN(len(lines))] + []string{"\r\n", "\n"}[rng.IntN(2)]
				}
				block += []string{"\r\n", "\n"}[rng.IntN(2)]
			}
			b := []byte(starts[request][rng.IntN(len(starts[request]))] + block + "GET ")
			cut := rng.IntN(4) == 0
			if cut || rng.IntN(8) == 0 {
				b = b[:rng.IntN(len(b))]
			}
			var want, got head
			n := want.parseAny(request == 1, b, cut)
			before := r.strikes
			require.Equal(t, n, r.parse(&got, request == 1, b, cut), "%q", b)
			if n > 0 {
				require.Equal(t, want, got, "%q", b)
			}
			if r.strikes < before {
				hits++
			}
		}
	}
	require.Greater(t, hits, 1000)
}

// Heads that never repeat are soon left alone, and nothing is kept of them.
func TestRepeatGivesUp(t *testing.T) {
	var r repeat
	for i := range 2 * maxStrikes {
		var h head
		b := []byte("HTTP/1.1 200 OK\r\nX-Request-Id: " + strings.Repeat("x", i) + "\r\n\r\n")
		require.Equal(t, len(b), r.parse(&h, false, b, false))
	}
	require.Nil(t, r.lines)
	require.EqualValues(t, maxStrikes, r.strikes)
}

func TestVisible(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			b := []byte(strings.Repeat("~", at) + string([]byte{byte(c)}) + "!\xff\x80!!!!!!!!")
			require.Equal(t, c > ' ' && c != 0x7f, visible(b), "%q", b)
		}
	}
}
