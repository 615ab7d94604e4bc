// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/recorded"
)

// FuzzParser feeds two streams, cut into segments as script says: per segment a byte of
// flags, one for the length, one for what is copied or lost.
func FuzzParser(f *testing.F) {
	whole := []byte{0, 255, 0, 1, 255, 0, 0, 255, 0, 1, 255, 0, 2, 255, 0, 3, 255, 0}
	for _, c := range conversations() {
		var requests, responses string
		for _, s := range c.steps {
			if s.server {
				responses += s.bytes
			} else {
				requests += s.bytes
			}
		}
		f.Add([]byte(requests), []byte(responses), whole)
	}
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
			if flags&2 != 0 {
				length *= 64
			}
			stream := streams[dir]
			s := protocol.Segment{Dir: dir}
			if flags&0x80 != 0 {
				lost := min(extra, len(stream))
				s.Lost = uint64(lost)
				stream = stream[lost:]
			}
			n := min(length, len(stream))
			s.Len, s.Data = n, stream[:n]
			if flags&0x40 != 0 {
				s.Data = s.Data[:min(extra, n)]
				s.Tail = tail(string(stream[:n]), len(s.Data))
			}
			if flags&0x20 != 0 {
				s.Len += extra << 16
			}
			streams[dir] = stream[n:]
			h.segment(s)
			p := h.parser.(*parser)
			require.LessOrEqual(t, len(p.flight), maxInFlight)
			require.LessOrEqual(t, len(h.open), len(p.flight)+1)
			require.LessOrEqual(t, len(p.req.Available()), 1<<17)
			require.LessOrEqual(t, len(p.early), maxEarly)
		}
		if len(script)%2 == 0 {
			h.parser.Close(h.now, exchange.FailureReset)
		}
		h.finish(t)
	})
}
