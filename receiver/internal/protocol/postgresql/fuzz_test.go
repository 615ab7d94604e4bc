// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/recorded"
)

// FuzzParser feeds two streams, cut into segments as script says: per segment a byte of
// flags, one for the length, one for what is copied or lost.
func FuzzParser(f *testing.F) {
	for _, sc := range scenarios {
		var streams [2]string
		var script []byte
		for i, s := range append(append([]string{}, hello...), sc.steps...) {
			streams[i%2] += s
			script = append(script, byte(i%2), byte(min(len(s), 255)), 0)
		}
		f.Add([]byte(streams[0]), []byte(streams[1]), script)
		f.Add([]byte(streams[0]), []byte(streams[1]), append([]byte{0x40, 20, 3, 0x81, 30, 5, 0x80, 9, 9}, script...))
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
			if flags&0x0c == 0x0c {
				h.parser.End(protocol.End{Dir: dir, Time: h.now, Cause: exchange.Failure(flags >> 4 & 7 % 5)})
				continue
			}
			if flags&0x10 != 0 {
				h.now += quiet
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
				s.Tail = stream[max(len(s.Data), n-8):n]
			}
			if flags&0x20 != 0 {
				s.Len += extra << 20
			}
			streams[dir] = stream[n:]
			h.segment(s)
			p := h.parser
			require.LessOrEqual(t, p.size, maxAsked)
			require.LessOrEqual(t, len(p.early), maxEarly)
			require.LessOrEqual(t, len(p.statements), maxStatements)
			require.LessOrEqual(t, len(p.req.Available()), maxStartup+maxBody+headSize+(64<<6))
			groups, spans := 0, 0
			for i := range p.size {
				a := p.at(i)
				if a.ask.group() {
					groups++
				}
				if a.slot != nil && a.slot.begun {
					spans++
				}
			}
			require.Equal(t, groups, p.groups)
			require.Equal(t, spans, p.spans)
			require.Equal(t, spans+len(p.held), len(h.open))
			if h.err != nil {
				require.Empty(t, h.open)
			}
		}
		if len(script)%2 == 0 {
			h.parser.Close(h.now, exchange.FailureReset)
			require.Empty(t, h.open)
		}
		h.check(t)
		for _, r := range h.ended {
			require.LessOrEqual(t, len(r.text), 2*dbconv.MaxText)
		}
		for _, b := range [][2][]byte{{requests, responses}, {responses, requests}} {
			for _, mid := range []bool{false, true} {
				for _, role := range []exchange.Role{exchange.RoleUnknown, exchange.RoleClient, exchange.RoleServer} {
					New(Options{}).Detect(&protocol.Evidence{MidStream: mid, Role: role, Bytes: b})
				}
			}
		}
	})
}
