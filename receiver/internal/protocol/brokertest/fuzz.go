// SPDX-License-Identifier: Apache-2.0

package brokertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/recorded"
)

// Fuzz feeds a parser two streams, cut into segments as a script says: per segment a byte of
// flags, one for the length, one for what is copied or lost. Seeds are conversations, and those
// recorded.
func Fuzz(f *testing.F, p protocol.Protocol, seeds ...Conversation) {
	for _, c := range seeds {
		var client, broker, script []byte
		for _, s := range c {
			flags := byte(1)
			if s.Client {
				client, flags = append(client, s.Data...), 0
			} else {
				broker = append(broker, s.Data...)
			}
			script = append(script, flags, byte(min(len(s.Data), 255)), 0)
		}
		f.Add(client, broker, script)
		f.Add(client, broker, append([]byte{0x40, 20, 7, 0x80, 3, 9}, script...))
	}
	for _, s := range recorded.Seeds(f) {
		f.Add(s.Requests, s.Replies, s.Script)
	}
	f.Fuzz(func(t *testing.T, client, broker, script []byte) {
		role := exchange.RoleClient
		if len(script)%2 == 0 {
			role = exchange.RoleServer
		}
		h := New(p, role)
		streams := map[bool][]byte{true: client, false: broker}
		for len(script) >= 3 && len(streams[true])+len(streams[false]) > 0 {
			flags, length, extra := script[0], int(script[1]), int(script[2])
			script = script[3:]
			fromClient := flags&1 == 0
			if flags&2 != 0 {
				length *= 64
			}
			if flags&4 != 0 {
				h.Now += 1e9
			}
			if flags&0x18 == 0x18 {
				h.Parser.End(protocol.End{Dir: h.Dir(fromClient), Time: h.Now, Cause: exchange.Failure(extra % 5)})
				continue
			}
			h.Now += 10
			stream := streams[fromClient]
			s := protocol.Segment{Dir: h.Dir(fromClient)}
			if flags&0x80 != 0 {
				lost := min(extra, len(stream))
				s.Lost, stream = uint64(lost), stream[lost:]
			}
			n := min(length, len(stream))
			s.Len, s.Data = n, stream[:n:n]
			if flags&0x40 != 0 {
				s.Data = s.Data[:min(extra, n)]
				s.Tail = stream[max(len(s.Data), n-8):n]
			}
			if flags&0x20 != 0 {
				s.Len += extra << 20 // more than anyone ever saw
				s.Tail = nil
			}
			streams[fromClient] = stream[n:]
			h.Segment(s)
			_ = h.Parser.Window()
			if h.Err != nil {
				require.Empty(t, h.open)
			}
		}
		cause := exchange.FailureNone
		if len(script) == 1 {
			cause = exchange.FailureReset
		}
		h.Close(t, cause)
		for _, mid := range []bool{false, true} {
			for _, r := range []exchange.Role{exchange.RoleUnknown, exchange.RoleClient, exchange.RoleServer} {
				p.Detect(&protocol.Evidence{Role: r, MidStream: mid, Bytes: [2][]byte{client, broker}})
			}
		}
	})
}
