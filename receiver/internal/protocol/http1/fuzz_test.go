// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/recorded"
)

// FuzzParser feeds two streams, cut into segments as script says: per segment
// a byte of flags, one for the length, one for what is copied or lost.
func FuzzParser(f *testing.F) {
	f.Add([]byte(benchRequest), []byte(benchResponse), []byte{0x00, 0xff, 0, 0x01, 0xff, 0})
	f.Add([]byte(benchRequest+benchRequest), []byte(benchResponse+benchChunked), []byte{0x40, 20, 3, 0x41, 30, 5, 0x80, 9, 9})
	f.Add([]byte("POST /p HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
		[]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody"), []byte{0, 70, 0, 1, 25, 0, 0, 255, 0, 1, 255, 0, 0x08, 0, 0})
	for _, s := range recorded.Seeds(f) {
		f.Add(s.Requests, s.Replies, s.Script)
	}
	f.Fuzz(func(t *testing.T, requests, responses, script []byte) {
		h := newClient()
		streams := [2][]byte{protocol.Sent: requests, protocol.Received: responses}
		for len(script) >= 3 && (len(streams[0]) > 0 || len(streams[1]) > 0) {
			flags, length, extra := script[0], int(script[1]), int(script[2])
			script = script[3:]
			dir := h.req
			if flags&1 != 0 {
				dir = dir.Other()
			}
			if flags&0x0c == 0x0c {
				h.end(dir, exchange.Failure(flags>>4&7%5))
				continue
			}
			if flags&0x10 != 0 {
				h.now += quiet
			}
			if flags&2 != 0 {
				length *= 64
			}
			stream := streams[dir]
			var s protocol.Segment
			s.Dir = dir
			if flags&0x80 != 0 {
				lost := min(extra, len(stream))
				s.Lost = uint64(lost)
				stream = stream[lost:]
			}
			n := min(length, len(stream))
			s.Len, s.Data = n, stream[:n]
			if flags&0x40 != 0 {
				s.Data = s.Data[:min(extra, n)]
				s.Tail = tailOf(string(stream[:n]), len(s.Data))
			}
			if flags&0x20 != 0 {
				s.Len += extra << 20 // more than anyone ever saw
			}
			streams[dir] = stream[n:]
			h.segment(s)
			p := h.parser.(*parser)
			require.LessOrEqual(t, p.size, maxInFlight)
			require.LessOrEqual(t, len(p.req.buf), maxHead)
			require.LessOrEqual(t, len(p.resp.buf), maxHead)
			require.Equal(t, p.size, len(h.open))
			if h.err != nil {
				require.Empty(t, h.open)
			}
			_ = h.parser.Window()
		}
		if len(script)%2 == 0 {
			h.close(exchange.FailureReset)
			require.Empty(t, h.open)
		}
		h.check(t)
		for _, b := range [][2][]byte{{requests, responses}, {responses, requests}} {
			for _, mid := range []bool{false, true} {
				New(Options{}).Detect(&protocol.Evidence{MidStream: mid, Bytes: b})
			}
		}
	})
}
