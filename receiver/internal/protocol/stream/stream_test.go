// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

func segment(offset uint64, length int, data, tail string) *protocol.Segment {
	return &protocol.Segment{Offset: offset, Len: length, Data: []byte(data), Tail: []byte(tail), First: offset + 1, Time: offset + 2}
}

func peek(t *testing.T, s *Stream, n int, want string) {
	t.Helper()
	b, status := s.Peek(n)
	require.Equal(t, Ready, status)
	require.Equal(t, want, string(b))
}

func TestJoinsSegments(t *testing.T) {
	t.Parallel()
	var s Stream
	s.Feed(segment(0, 3, "abc", ""), true)
	_, status := s.Peek(4)
	require.Equal(t, More, status)
	s.Discard(1)
	s.Keep()
	s.Feed(segment(3, 3, "def", ""), false)
	peek(t, &s, 5, "bcdef")
	o := s.Begin(exchange.RoleServer)
	require.EqualValues(t, 1, o.Offset)
	require.EqualValues(t, 1, o.First, "it came with the first segment")
	require.False(t, o.Turn)
	s.Discard(2)
	require.EqualValues(t, 4, s.Begin(exchange.RoleServer).First, "what is left came with the second")
	s.Discard(3)
	s.Keep()
	require.EqualValues(t, 6, s.Offset())
	require.Empty(t, s.Available())
}

func TestHoles(t *testing.T) {
	t.Parallel()
	var s Stream
	// ab, 6 bytes unseen, yz.
	s.Feed(segment(0, 10, "ab", "yz"), true)
	_, status := s.Peek(3)
	require.Equal(t, Hole, status)
	require.True(t, s.HoleAhead())
	s.Discard(8)
	peek(t, &s, 2, "yz")
	s.Discard(12) // two bytes, and ten of what comes
	require.EqualValues(t, 20, s.Offset())
	s.Keep()
	lost := segment(14, 8, "mnopqrst", "")
	lost.Lost = 4
	s.Feed(lost, false)
	peek(t, &s, 2, "st")
	require.EqualValues(t, 20, s.Offset())
	s.Keep()
	lost = segment(30, 2, "uv", "")
	lost.Lost = 8
	s.Feed(lost, true)
	_, status = s.Peek(4)
	require.Equal(t, Hole, status)
	require.True(t, s.Resync())
	require.True(t, s.AtSegment())
	require.True(t, s.Begin(exchange.RoleClient).Turn)
	peek(t, &s, 2, "uv")
	s.Clear()
	require.EqualValues(t, 32, s.Offset())
}

func TestTailJoinsData(t *testing.T) {
	t.Parallel()
	var s Stream
	s.Feed(segment(0, 4, "ab", "cd"), true)
	peek(t, &s, 4, "abcd")
	s.Clear()
	s.Feed(segment(4, 10, "efghijkl", "ghijklmn"), true)
	peek(t, &s, 10, "efghijklmn")
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	var s Stream
	g := segment(0, 4, "abcd", "")
	g.Identity = exchange.Identity{Seed: 7, Trace: 5, Parent: 5, Method: exchange.MethodThread}
	s.Feed(g, true)
	require.EqualValues(t, 7, s.Begin(exchange.RoleClient).Identity.Seed)
	s.Discard(2)
	second := s.Begin(exchange.RoleClient).Identity
	require.NotEqualValues(t, 7, second.Seed)
	require.EqualValues(t, 5, second.Parent)
	require.EqualValues(t, 5, second.Trace)
}

// Whatever is copied of a stream and however it is cut, what can be peeked is what
// was sent, at the right offset.
func TestModel(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, 1<<16)
	for i := range content {
		content[i] = byte(i*7 + i>>8)
	}
	for range 3000 {
		var s Stream
		for at := 0; at < 2000; {
			g := &protocol.Segment{}
			if r.IntN(8) == 0 {
				g.Lost = uint64(r.IntN(50))
				at += int(g.Lost)
			}
			g.Offset = uint64(at)
			g.Len = 1 + r.IntN(100)
			whole := content[at : at+g.Len]
			g.Data = whole
			if r.IntN(3) == 0 {
				g.Data = whole[:r.IntN(g.Len)]
				n := min(8, g.Len-len(g.Data))
				if r.IntN(2) == 0 {
					g.Tail = whole[g.Len-n:]
				}
			}
			at += g.Len
			s.Feed(g, false)
			for {
				n := 1 + r.IntN(40)
				b, status := s.Peek(n)
				if status == More {
					break
				}
				if status == Hole {
					if r.IntN(2) == 0 {
						s.Resync()
					} else {
						s.Discard(uint64(r.IntN(200)))
					}
					continue
				}
				require.Equal(t, content[s.Offset():s.Offset()+uint64(n)], b)
				s.Discard(uint64(r.IntN(2 * n)))
			}
			before := append([]byte(nil), s.Available()...)
			s.Keep()
			if len(before) > 0 && !s.HoleAhead() && len(s.Available()) > 0 {
				require.Equal(t, content[s.Offset():int(s.Offset())+len(s.Available())], s.Available())
			}
			require.LessOrEqual(t, int(s.Offset()), at+400)
		}
	}
}

func BenchmarkMessages(b *testing.B) {
	g := segment(0, 4096, string(make([]byte, 4096)), "")
	var s Stream
	b.ReportAllocs()
	for b.Loop() {
		s.Feed(g, true)
		for {
			if _, status := s.Peek(9); status != Ready {
				break
			}
			s.Discard(100)
		}
		s.Clear()
		g.Offset += 4096
	}
}
