// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// nowhere is a Sink that does what spans and metrics do with names.
type nowhere struct{ key []byte }

func (*nowhere) Begin(*exchange.Exchange) {}
func (n *nowhere) End(x *exchange.Exchange) {
	d := x.Detail.(*messagingconv.Detail)
	_ = d.SpanName(x)
	n.key = d.AppendMetricKey(x, n.key[:0])
}
func (*nowhere) Abandon(*exchange.Exchange) {}

// pump passes one exchange after another.
type pump struct {
	parser   protocol.Parser
	segments [2]protocol.Segment
	offset   [2]uint64
}

func newPump(p pair) *pump {
	m := &pump{}
	m.parser = New(Options{}).New(protocol.Host{
		Connection: &exchange.Connection{Role: exchange.RoleClient}, Sink: &nowhere{}, Stats: &protocol.Stats{}, Strings: intern.New(0),
	}, protocol.Sent)
	m.segments[protocol.Sent] = protocol.Segment{Dir: protocol.Sent, Len: len(p.request), Data: p.request}
	m.segments[protocol.Received] = protocol.Segment{Dir: protocol.Received, Len: len(p.response), Data: p.response}
	return m
}

func (m *pump) run() {
	for _, dir := range []protocol.Direction{protocol.Sent, protocol.Received} {
		s := &m.segments[dir]
		s.Offset = m.offset[dir]
		s.Identity = exchange.Identity{Seed: 1, Trace: 1}
		m.offset[dir] += uint64(s.Len)
		_ = m.parser.Segment(s)
	}
}

var hot = []struct {
	name         string
	key, version int16
}{
	{"Produce11", apiProduce, 11}, {"Produce7", apiProduce, 7}, {"Fetch12", apiFetch, 12}, {"Heartbeat4", apiHeartbeat, 4},
	{"OffsetCommit8", apiOffsetCommit, 8},
}

func TestNoAllocations(t *testing.T) {
	for _, c := range hot {
		m := newPump(message1(t, c.key, c.version))
		for range 100 {
			m.run()
		}
		require.Zero(t, testing.AllocsPerRun(1000, m.run), c.name)
	}
}

// An exchange is a request and a response: those of Produce and Fetch are of two topics,
// three partitions and six messages.
func BenchmarkExchange(b *testing.B) {
	for _, c := range hot {
		b.Run(c.name, func(b *testing.B) {
			m := newPump(message1(b, c.key, c.version))
			b.ReportAllocs()
			for b.Loop() {
				m.run()
			}
		})
	}
}
