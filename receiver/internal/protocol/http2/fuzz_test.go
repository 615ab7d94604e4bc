// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2/hpack"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/recorded"
)

// FuzzParser passes anything, cut anyhow, with losses.
func FuzzParser(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 7))
	var seeds [2][]byte
	conversation(r, 6, 3, func(dir int, b []byte) { seeds[dir] = append(seeds[dir], b...) })
	f.Add(seeds[0], seeds[1], uint64(1))
	f.Add(seeds[0][len(preface):], seeds[1], uint64(2))
	for i, s := range recorded.Seeds(f) {
		f.Add(s.Requests, s.Replies, uint64(i))
	}
	f.Fuzz(func(t *testing.T, requests, responses []byte, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		h := newHarness(client)
		for len(requests)+len(responses) > 0 && h.err == nil {
			b, dir := &requests, h.req
			if len(requests) == 0 || len(responses) > 0 && r.IntN(2) == 0 {
				b, dir = &responses, h.req.Other()
			}
			n := 1 + r.IntN(len(*b))
			s := protocol.Segment{Dir: dir, Data: (*b)[:n], Len: n}
			*b = (*b)[n:]
			switch r.IntN(8) {
			case 0:
				s.Lost = uint64(r.IntN(100))
			case 1:
				s.Data = s.Data[:r.IntN(n+1)]
			}
			h.segment(s)
		}
		h.close(1)
		h.check(t)
	})
}

// FuzzHPACK compares with the reference whatever both understand.
func FuzzHPACK(f *testing.F) {
	s := newSide()
	f.Add(s.section(get("/a")...), s.section(get("/b")...))
	f.Add([]byte{0x3f, 0x01, 0x82}, []byte{0x40, 1, 'a', 1, 'b', 0xbe})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var d decoder
		d.begin()
		var want []hpack.HeaderField
		reference := hpack.NewDecoder(defaultTable, func(f hpack.HeaderField) { want = append(want, f) })
		for _, b := range [][]byte{first, second} {
			want = nil
			_, err := reference.Write(b)
			if err == nil {
				err = reference.Close()
			}
			var h header
			h.reset()
			if !d.decode(b, &h) || err != nil {
				return
			}
			require.Len(t, want, h.fields)
			require.Zero(t, h.unknown)
			for _, f := range want {
				if f.Name == ":path" {
					require.Equal(t, f.Value[:min(len(f.Value), 8<<10)], string(h.path))
					break
				}
			}
		}
	})
}
