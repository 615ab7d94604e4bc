// SPDX-License-Identifier: Apache-2.0

package kafka

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
	for i, p := range messages(f) {
		if i%8 == 0 || p.key < 2 {
			f.Add(p.request, p.response, []byte{0, 255, 0, 1, 255, 0, byte(i)})
		}
	}
	for _, s := range recorded.Seeds(f) {
		f.Add(s.Requests, s.Replies, s.Script)
	}
	f.Fuzz(func(t *testing.T, requests, responses, script []byte) {
		h := newHarness(t, exchange.RoleClient)
		streams := [2][]byte{protocol.Sent: requests, protocol.Received: responses}
		for len(script) >= 3 && (len(streams[0]) > 0 || len(streams[1]) > 0) {
			flags, length, extra := script[0], int(script[1]), int(script[2])
			script = script[3:]
			dir := h.req
			if flags&1 != 0 {
				dir = dir.Other()
			}
			if flags&0x0c == 0x0c {
				h.parser.End(protocol.End{Dir: dir, Time: h.now, Cause: exchange.Failure(1 + flags>>4&3)})
				continue
			}
			if flags&2 != 0 {
				length *= 64
			}
			s := streams[dir]
			n := min(length, len(s))
			streams[dir] = s[n:]
			switch {
			case flags&0x80 != 0:
				h.lost(dir, s[:min(extra, n)], s[min(extra, n):n])
			case flags&0x40 != 0:
				h.send(dir, s[:n], min(extra, n))
			default:
				h.send(dir, s[:n], n)
			}
			require.LessOrEqual(t, h.parser.calls.Len(), maxInFlight)
			require.LessOrEqual(t, h.parser.operations, maxOperations+1)
		}
		if len(script)%2 == 0 {
			h.parser.Close(h.now, exchange.FailureReset)
		}
		h.parser.Close(h.now, exchange.FailureNone)
		require.Empty(t, h.open)
		for _, b := range [][2][]byte{{requests, responses}, {responses, requests}} {
			for _, mid := range []bool{false, true} {
				detect(&protocol.Evidence{MidStream: mid, Bytes: b})
			}
		}
	})
}
