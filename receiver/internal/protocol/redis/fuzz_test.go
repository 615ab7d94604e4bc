// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/protocoltest"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/recorded"
)

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

func TestHeader(t *testing.T) {
	for text, want := range map[string][2]int64{
		"$": {0, 0}, "$1": {0, 0}, "$1\r": {0, 0}, "$1\r\n": {1, 4}, "$12\r\n": {12, 5}, "$123\r\n": {123, 6}, "$1\rx": {0, -1}, "$x": {0, -1},
		"$-1\r\n": {-1, 5}, "$-": {0, 0}, "$-2": {0, -1}, "$?\r\n": {streamed, 4}, "$\r\n": {0, -1}, "$12345678901234567890": {0, -1}, "$12\r": {0, 0}, "$12\rx": {0, -1},
	} {
		n, used := header([]byte(text))
		require.Equal(t, want, [2]int64{n, int64(used)}, "%q", text)
	}
}
