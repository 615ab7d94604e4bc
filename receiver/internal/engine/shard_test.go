// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/capture"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
)

type noPolicies struct{}

func (noPolicies) Capture(uint64, uint32, uint32, uint16)  {}
func (noPolicies) Ignore(uint64, uint32)                   {}
func (noPolicies) Announce(uint64, uint32, uint32, uint16) {}

// exchanges are the records of one request on n connections, as the kernel
// writes them: both ends of each connection.
type exchanges struct {
	records [][]byte
	server  []*capture.Segment
	time    uint64
}

func newExchanges(tb testing.TB, s *shard, n int) *exchanges {
	e := &exchanges{time: 1e9}
	request := []byte("GET /api/users/1234?page=2 HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: wrk/4.1.0\r\nAccept: */*\r\n\r\n")
	response := []byte("HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 08:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\nhello world\n")
	for i := range n {
		for role := range 2 {
			id := uint64(2*i + role + 1)
			s.record(capture.NewOpenRecord(capture.Open{Conn: id, Role: uint8(role + 1), Tgid: uint32(os.Getpid()), LocalPort: 8080, PeerPort: 9090}))
			// The server receives requests, the client sends them.
			e.add(id, uint8(role), request)
			e.add(id, uint8(1-role), response)
		}
	}
	return e
}

func (e *exchanges) add(id uint64, dir uint8, data []byte) {
	r, g := capture.NewSegmentRecord(capture.Segment{
		Conn: id, Dir: dir, Len: uint32(len(data)), Tgid: uint32(os.Getpid()), Identity: id, Trace: id,
	}, data)
	e.records = append(e.records, r)
	e.server = append(e.server, g)
}

func (e *exchanges) play(s *shard) {
	for i, r := range e.records {
		g := e.server[i]
		e.time += 10_000
		g.Time = e.time
		g.Identity += 1 << 20
		g.Trace = g.Identity
		s.record(r)
		g.Offset += uint64(g.Len)
	}
}

func benchShard(tb testing.TB, c *config.Config, traces func(ptrace.Traces)) *shard {
	e := New(Settings{
		Config: c, Logger: zap.NewNop(), Telemetry: componenttest.NewNopTelemetrySettings(),
		Traces: traces, Metrics: func(pmetric.Metrics) {},
	})
	require.NoError(tb, e.build())
	return newShard(e, nil, noPolicies{}, 1000)
}

// BenchmarkExchange is everything between the ring and the next consumer for
// one request seen at both ends: 4 records, 2 spans, 2 x 3 histogram points.
func BenchmarkExchange(b *testing.B) {
	for _, sampler := range []config.Sampler{{Name: config.AlwaysOn}, {Name: config.TraceIDRatio, Arg: "0.1"}, {Name: config.AlwaysOff}} {
		b.Run(fmt.Sprint(sampler.Name, sampler.Arg), func(b *testing.B) {
			c := config.Default()
			c.Sampler = sampler
			spans := 0
			s := benchShard(b, c, func(t ptrace.Traces) { spans += t.SpanCount() })
			x := newExchanges(b, s, 32)
			x.play(s)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N/32 + 1 {
				x.play(s)
			}
		})
	}
}

func TestShardReportsBothEnds(t *testing.T) {
	var got []ptrace.Traces
	s := benchShard(t, config.Default(), func(td ptrace.Traces) { got = append(got, td) })
	x := newExchanges(t, s, 3)
	for range 5 {
		x.play(s)
	}
	s.flush(true)
	n := 0
	for _, td := range got {
		n += td.SpanCount()
	}
	require.Equal(t, 2*3*5, n)
}
