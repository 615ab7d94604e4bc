// SPDX-License-Identifier: Apache-2.0

package mysql

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
	whole := []byte{0, 255, 0, 1, 255, 0, 0, 255, 0, 1, 255, 0, 0, 255, 0, 1, 255, 0, 3, 255, 0, 0, 255, 0, 1, 255, 0}
	for _, capabilities := range []uint64{baseCapabilities, baseCapabilities | clientDeprecateEOF, baseCapabilities | clientCompress} {
		for _, c := range conversations(capabilities&clientDeprecateEOF != 0) {
			var requests, responses string
			for _, s := range c.steps {
				if s.server {
					responses += s.bytes
				} else {
					requests += s.bytes
				}
			}
			if len(requests)+len(responses) > 4<<10 {
				continue
			}
			if capabilities&clientCompress != 0 {
				requests, responses = compressed(requests, 300), compressed(responses, 300)
			}
			f.Add([]byte(requests), []byte(responses), whole)
			f.Add([]byte(loginPacket(capabilities, "shop")+requests),
				[]byte(greetingPacket(mariadb, capabilities)+packet(2, okPayload(2))+responses), append([]byte{1, 127, 0, 0, 106, 0, 1, 11, 0}, whole...))
		}
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
			require.LessOrEqual(t, p.queue.Len(), maxInFlight)
			require.Equal(t, p.queue.Len(), len(h.open))
			require.LessOrEqual(t, len(p.req.t.Available()), 1<<17)
			require.LessOrEqual(t, len(p.held), maxHeld)
		}
		if len(script)%2 == 0 {
			h.parser.Close(h.now, exchange.FailureReset)
		}
		h.finish(t)
	})
}
