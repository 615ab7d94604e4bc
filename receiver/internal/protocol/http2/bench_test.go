// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// nothing is a Sink that forgets.
type nothing struct{ ended int }

func (*nothing) Begin(*exchange.Exchange)   {}
func (n *nothing) End(*exchange.Exchange)   { n.ended++ }
func (*nothing) Abandon(*exchange.Exchange) {}

// traffic plays calls on one connection over and over; streams count up.
type traffic struct {
	sink     nothing
	parser   protocol.Parser
	stats    protocol.Stats
	segments [2]protocol.Segment
	ids      [2][]int // where stream ids are
	next     uint32
	at       [2]uint64
	calls    int
}

// newTraffic is of calls that are alike, so many at once.
func newTraffic(grpc bool, calls int) *traffic {
	t := &traffic{calls: calls}
	t.parser = New(Options{HTTP: true, GRPC: true}).New(protocol.Host{
		Connection: &exchange.Connection{Role: server}, Sink: &t.sink, Stats: &t.stats, Strings: intern.New(0),
	}, protocol.Received)
	c, s := newSide(), newSide()
	c.raw(preface).settings()
	s.settings()
	write := func(first uint32) {
		for i := range uint32(calls) {
			id := first + 2*i
			if grpc {
				c.headers(id, false, call1(fmt.Sprintf("/a.B/M%d", i%4), "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")...).data(id, true, "12345")
				s.headers(id, false, ":status", "200", "content-type", "application/grpc").data(id, false, "12345").headers(id, true, "grpc-status", "0", "grpc-message", "")
			} else {
				c.headers(id, true, get(fmt.Sprintf("/p/%d", i%4))...)
				s.headers(id, false, ":status", "200", "content-type", "text/plain").data(id, true, "12345")
			}
		}
	}
	write(1)
	t.play(0, c.take())
	t.play(1, s.take())
	write(1) // as it stays: by index
	t.next = 1 + 2*uint32(calls)
	for dir, side := range []*side{c, s} {
		b := side.take()
		t.segments[dir] = protocol.Segment{Dir: protocol.Direction(dir), Data: b, Len: len(b)}
		for i := 0; i < len(b); {
			f, _ := parseFrame(b[i:])
			t.ids[dir] = append(t.ids[dir], i+5)
			i += frameHead + int(f.length)
		}
	}
	return t
}

func (t *traffic) play(dir int, b []byte) {
	s := protocol.Segment{Dir: protocol.Direction(dir), Data: b, Len: len(b), Offset: t.at[dir], Time: 1}
	t.at[dir] += uint64(len(b))
	if err := t.parser.Segment(&s); err != nil {
		panic(err)
	}
}

// round is all calls once more.
func (t *traffic) round() {
	for dir := range t.segments {
		s := &t.segments[dir]
		for i, at := range t.ids[dir] {
			id := t.next + 2*uint32(i*t.calls/len(t.ids[dir]))
			s.Data[at], s.Data[at+1], s.Data[at+2], s.Data[at+3] = byte(id>>24), byte(id>>16), byte(id>>8), byte(id)
		}
		s.Offset, s.Time, s.First = t.at[dir], t.at[dir], t.at[dir]
		t.at[dir] += uint64(s.Len)
		if err := t.parser.Segment(s); err != nil {
			panic(err)
		}
	}
	t.next += 2 * uint32(t.calls)
	if t.next > 1<<30 {
		t.next = 1<<30 + 1
	}
}

func TestNoAllocations(t *testing.T) {
	for _, grpc := range []bool{false, true} {
		for _, calls := range []int{1, 16, 100} {
			k := newTraffic(grpc, calls)
			k.round()
			before := k.sink.ended
			require.Zero(t, testing.AllocsPerRun(100, k.round), "gRPC %v, %d calls", grpc, calls)
			require.Equal(t, 101*calls, k.sink.ended-before)
			require.Zero(t, k.stats)
		}
	}
}

func benchmark(b *testing.B, grpc bool, calls int) {
	k := newTraffic(grpc, calls)
	b.ReportAllocs()
	for b.Loop() {
		k.round()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(calls), "ns/call")
	if k.sink.ended == 0 {
		b.Fatal("no calls")
	}
}

func BenchmarkHTTP(b *testing.B)           { benchmark(b, false, 1) }
func BenchmarkHTTP100Streams(b *testing.B) { benchmark(b, false, 100) }
func BenchmarkGRPC(b *testing.B)           { benchmark(b, true, 1) }
func BenchmarkGRPC100Streams(b *testing.B) { benchmark(b, true, 100) }
