// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/protocoltest"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/recorded"
)

func FuzzParser(f *testing.F) {
	whole := []byte{1, 0, 255, 0, 1, 255, 0, 0, 255, 0, 1, 255, 0, 2, 255, 0, 3, 255, 0}
	for _, all := range variants() {
		for _, c := range all {
			var streams [2]string
			for _, s := range c.steps {
				if s[0] == ">" {
					streams[0] += s[1]
				} else {
					streams[1] += s[1]
				}
			}
			f.Add([]byte(streams[0]), []byte(streams[1]), whole)
		}
	}
	for _, s := range recorded.Seeds(f) {
		f.Add(s.Requests, s.Replies, append([]byte{0}, s.Script...))
		f.Add(s.Requests, s.Replies, append([]byte{1}, s.Script...))
	}
	f.Fuzz(func(t *testing.T, requests, replies, script []byte) {
		protocoltest.Fuzz(t, New(Options{}), requests, replies, script)
	})
}
