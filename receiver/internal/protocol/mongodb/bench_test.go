// SPDX-License-Identifier: Apache-2.0

package mongodb

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

// exchanger feeds the same segments over and over.
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
	for i, st := range steps {
		s := protocol.Segment{Dir: protocol.Received, Len: len(st.bytes), Data: []byte(st.bytes), PID: 1, TID: 1}
		if st.server {
			s.Dir = protocol.Sent
		}
		s.Identity.Seed, s.Identity.Trace = uint64(i+1), uint64(i+1)
		e.segments = append(e.segments, s)
	}
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
	docs := make([]any, 20)
	for i := range docs {
		docs[i] = []any{"_id", i, "name", "a value of a document"}
	}
	request, response := find(1, "items"), found(2, 1, docs...)
	return map[string][]step{
		"find":   {ask(request), answers(found(2, 1, []any{"_id", 1, "name", "x"}))},
		"batch":  {ask(request), answers(response)},
		"insert": {ask(msg(2, 0, 0, document("insert", "items", "ordered", true, "$db", "shop"), documents("documents", document("a", 1)))), answers(msg(3, 2, 0, document("n", 1, "ok", 1.0)))},
		"error":  {ask(request), answers(msg(3, 1, 0, document("ok", 0.0, "code", 59, "codeName", "CommandNotFound")))},
		"more":   {ask(msg(4, 0, 0, document("getMore", int64(77), "collection", "items", "$db", "shop"))), answers(found(5, 4))},
		"split":  {ask(request[:16]), ask(request[16:]), answers(response[:16]), answers(response[16:300]), answers(response[300:])},
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
	e := &protocol.Evidence{Role: exchange.RoleServer, Bytes: [2][]byte{[]byte(find(1, "items")), nil}}
	b.ReportAllocs()
	for b.Loop() {
		p.Detect(e)
	}
}
