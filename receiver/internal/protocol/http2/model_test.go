// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2/hpack"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// conversation makes random calls on one connection, with up to inFlight at once, and
// passes the bytes in random segments to pass. The status of each response is a
// function of its path, so that wrong pairs show. It returns how many there were.
func conversation(r *rand.Rand, calls, inFlight int, pass func(dir int, b []byte)) int {
	c, s := newSide(), newSide()
	c.raw(preface).settings()
	s.settings()
	type open struct {
		id   uint32
		n    int
		body int
		grpc bool
		head bool
	}
	var opened []open
	next := uint32(1)
	flush := func() {
		pass(0, c.take())
		pass(1, s.take())
	}
	flush()
	for made := 0; made < calls || len(opened) > 0; {
		switch {
		case made < calls && len(opened) < inFlight && r.IntN(2) == 0:
			n := r.IntN(40)
			o := open{id: next, n: n, body: r.IntN(5) * r.IntN(3000), grpc: r.IntN(2) == 0}
			if o.grpc {
				c.headers(next, false, call1(fmt.Sprintf("/s.S/M%d", n), "x-"+strconv.Itoa(r.IntN(9)), strings.Repeat("v", r.IntN(300)))...)
				c.data(next, true, strings.Repeat("q", o.body))
			} else {
				c.headers(next, true, get(fmt.Sprintf("/p/%d", n))...)
			}
			opened = append(opened, o)
			next += 2
			made++
			if r.IntN(3) == 0 {
				pass(0, c.take())
			}
		case len(opened) > 0:
			pass(0, c.take())
			i := r.IntN(len(opened))
			o := &opened[i]
			switch {
			case !o.head:
				o.head = true
				if o.grpc {
					s.headers(o.id, false, ":status", "200", "content-type", "application/grpc")
				} else {
					s.headers(o.id, false, ":status", strconv.Itoa(200+o.n), "x", strconv.Itoa(r.IntN(20)))
				}
			case o.body > 0:
				n := min(o.body, 1+r.IntN(4000))
				s.data(o.id, false, strings.Repeat("a", n))
				o.body -= n
			default:
				if o.grpc {
					s.headers(o.id, true, "grpc-status", strconv.Itoa(o.n%17))
				} else {
					s.data(o.id, true, "")
				}
				opened = append(opened[:i], opened[i+1:]...)
			}
			if r.IntN(3) == 0 {
				pass(1, s.take())
			}
		}
	}
	flush()
	return calls
}

// consistent fails if an exchange has what belongs to another.
func consistent(t testing.TB, ended []record) {
	t.Helper()
	for _, e := range ended {
		switch {
		case strings.HasPrefix(e.target, "/p/"):
			n, err := strconv.Atoi(e.target[3:])
			require.NoError(t, err)
			require.Equal(t, "http", e.kind)
			require.Equal(t, 200+n, e.status, e.target)
		case strings.HasPrefix(e.target, "/s.S/M"):
			n, err := strconv.Atoi(e.target[6:])
			require.NoError(t, err)
			require.Equal(t, "grpc", e.kind)
			require.Equal(t, codeText(n%17), e.code, e.target)
		default:
			require.Fail(t, "bogus", e.target)
		}
		require.Equal(t, exchange.FailureNone, e.failure)
		require.Empty(t, e.failed)
	}
}

func codeText(n int) string {
	return []string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
		"DATA_LOSS", "UNAUTHENTICATED",
	}[n]
}

// cut passes b in random segments, of which seen says how much is copied.
func cut(r *rand.Rand, h *harness, dir int, b []byte, seen func(n int) (copied int, lost bool)) {
	d := h.req
	if dir == 1 {
		d = d.Other()
	}
	lost := uint64(0)
	for len(b) > 0 {
		n := min(len(b), 1+r.IntN(1+r.IntN(5000)))
		copied, gone := n, false
		if seen != nil {
			copied, gone = seen(n)
		}
		if gone {
			lost += uint64(n)
			b = b[n:]
			continue
		}
		g := protocol.Segment{Dir: d, Data: append([]byte(nil), b[:copied]...), Len: n, Lost: lost}
		if copied < n && n >= 8 && r.IntN(2) == 0 {
			g.Tail = b[n-8 : n]
		}
		lost = 0
		h.segment(g)
		clear(g.Data)
		b = b[n:]
	}
	if lost > 0 {
		h.at[d] += lost // told of with the next segment
		h.pending[d] += lost
	}
}

func TestRandomSegments(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		h := newHarness([]exchange.Role{client, server}[seed%2])
		calls := conversation(r, 40, 1+r.IntN(20), func(dir int, b []byte) { cut(r, h, dir, b, nil) })
		require.NoError(t, h.err)
		h.check(t)
		require.Len(t, h.ended, calls)
		require.Zero(t, h.stats)
		consistent(t, h.ended)
	}
}

// Whatever is lost, what is reported is right.
func TestRandomLosses(t *testing.T) {
	t.Parallel()
	calls, found := 0, 0
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 2))
		h := newHarness([]exchange.Role{client, server}[seed%2])
		one := 5 + r.IntN(200)
		skip := r.IntN(2) * r.IntN(20) // older connections
		calls += conversation(r, 60, 1+r.IntN(10), func(dir int, b []byte) {
			cut(r, h, dir, b, func(n int) (int, bool) {
				if skip > 0 {
					skip--
					h.skip(dir, n)
					return 0, true
				}
				if r.IntN(one) == 0 {
					return r.IntN(n + 1), r.IntN(2) == 0
				}
				return n, false
			})
		})
		h.check(t)
		found += len(h.ended)
		consistent(t, h.ended)
	}
	t.Logf("%d of %d calls found", found, calls)
	require.Greater(t, found, calls/4)
}

func TestHuffman(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 3))
	for n := range 3000 {
		b := make([]byte, r.IntN(60))
		for i := range b {
			b[i] = byte(r.IntN(256))
			if n%2 == 0 {
				b[i] = " /-_.abcdefghijklmnopqrstuvwxyzABCDEF0123456789"[r.IntN(47)]
			}
		}
		coded := hpack.AppendHuffmanString(nil, string(b))
		got, ok := unhuffman(nil, coded)
		require.True(t, ok)
		require.Equal(t, string(b), string(got))
		// Anything else is understood as the reference does, or refused as there.
		for i := range coded {
			coded[i] ^= byte(1 << r.IntN(8))
			want, err := hpack.HuffmanDecodeToString(coded)
			got, ok := unhuffman(nil, coded)
			require.Equal(t, err == nil, ok, "%x", coded)
			if ok {
				require.Equal(t, want, string(got))
			}
		}
	}
}
