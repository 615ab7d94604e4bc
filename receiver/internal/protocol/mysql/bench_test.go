// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

type countingSink struct{ ended int }

func (*countingSink) Begin(*exchange.Exchange)   {}
func (s *countingSink) End(*exchange.Exchange)   { s.ended++ }
func (*countingSink) Abandon(*exchange.Exchange) {}

// exchanger feeds the same segments over and over, behind a login.
type exchanger struct {
	sink     countingSink
	stats    protocol.Stats
	parser   protocol.Parser
	segments []protocol.Segment
	now      uint64
	offset   [2]uint64
}

func newExchanger(steps ...step) *exchanger {
	e := &exchanger{}
	e.parser = New(Options{}).New(protocol.Host{
		Connection: &exchange.Connection{Role: exchange.RoleServer}, Sink: &e.sink, Stats: &e.stats, Strings: intern.New(0),
	}, protocol.Received)
	make := func(steps []step) []protocol.Segment {
		var out []protocol.Segment
		for i, st := range steps {
			s := protocol.Segment{Dir: protocol.Received, Len: len(st.bytes), Data: []byte(st.bytes), PID: 1, TID: 1}
			if st.server {
				s.Dir = protocol.Sent
			}
			s.Identity.Seed, s.Identity.Trace = uint64(i+1), uint64(i+1)
			out = append(out, s)
		}
		return out
	}
	e.segments = make([]step{
		answers(greetingPacket(mariadb, baseCapabilities|clientDeprecateEOF)), ask(loginPacket(baseCapabilities|clientDeprecateEOF, "shop")),
		answers(packet(2, okPayload(2))),
	})
	e.run()
	e.segments = make(steps)
	return e
}

func (e *exchanger) run() {
	for i := range e.segments {
		s := &e.segments[i]
		e.now += 1000
		s.First, s.Time = e.now, e.now
		s.Offset = e.offset[s.Dir]
		e.offset[s.Dir] += uint64(s.Len)
		if err := e.parser.Segment(s); err != nil {
			panic(err)
		}
	}
	_ = e.parser.Window()
}

func workloads() map[string][]step {
	rows := make([]string, 100)
	for i := range rows {
		rows[i] = "a value of a row"
	}
	text := "SELECT id, name, email FROM users WHERE id = 4711 AND state = 'active' ORDER BY name LIMIT 10"
	parameters := "SELECT id, name, email FROM users WHERE id = ? AND state = ?"
	return map[string][]step{
		"query":    {ask(query(text)), answers(result(true, "a value of a row"))},
		"rows":     {ask(query(text)), answers(result(true, rows...))},
		"insert":   {ask(query("INSERT INTO users (id, name) VALUES (1, 'x')")), answers(packet(1, okPayload(2)))},
		"error":    {ask(query(text)), answers(packet(1, errPayload(1146)))},
		"prepared": {ask(prepare(parameters)), answers(prepared(true, 1, 2, 3)), ask(execute(1)), answers(result(true, "a")), ask(closeStatement(1))},
		"execute":  {ask(execute(1)), answers(result(true, "a value of a row"))},
		"split":    {ask(query(text)[:10]), ask(query(text)[10:]), answers(result(true, rows...)[:200]), answers(result(true, rows...)[200:])},
	}
}

func TestAllocations(t *testing.T) {
	for name, steps := range workloads() {
		t.Run(name, func(t *testing.T) {
			e := newExchanger(steps...)
			for range 20 {
				e.run()
			}
			require.Zero(t, testing.AllocsPerRun(200, e.run))
			require.NotZero(t, e.sink.ended)
		})
	}
}

func BenchmarkExchange(b *testing.B) {
	for name, steps := range workloads() {
		b.Run(name, func(b *testing.B) {
			e := newExchanger(steps...)
			b.ReportAllocs()
			for b.Loop() {
				e.run()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(e.sink.ended), "ns/exchange")
		})
	}
}

func BenchmarkDetect(b *testing.B) {
	p := New(Options{})
	e := &protocol.Evidence{Role: exchange.RoleServer, Bytes: [2][]byte{nil, []byte(greetingPacket(mariadb, baseCapabilities))}}
	b.ReportAllocs()
	for b.Loop() {
		p.Detect(e)
	}
}
