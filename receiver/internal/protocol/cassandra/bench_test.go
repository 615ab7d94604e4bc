// SPDX-License-Identifier: Apache-2.0

package cassandra

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

func newExchanger(first []step, steps ...step) *exchanger {
	e := &exchanger{}
	e.parser = New(Options{}).New(protocol.Host{
		Connection: &exchange.Connection{Role: exchange.RoleServer}, Sink: &e.sink, Stats: &e.stats, Strings: intern.New(0),
	}, protocol.Received)
	e.add(first)
	e.run()
	e.segments = nil
	e.add(steps)
	return e
}

func (e *exchanger) add(steps []step) {
	for i, st := range steps {
		s := protocol.Segment{Dir: protocol.Received, Len: len(st[1]), Data: []byte(st[1]), PID: 1, TID: 1}
		if st[0] == "<" {
			s.Dir = protocol.Sent
		}
		s.Identity.Seed, s.Identity.Trace = uint64(i+1), uint64(i+1)
		e.segments = append(e.segments, s)
	}
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

func workloads() map[string]*exchanger {
	begin := []step{ask(startup(4)), answers(ready(4)), ask(prepare(4, 1, insertText)), answers(prepared(4, 1, id16))}
	five := []step{ask(startup(5)), answers(ready(5)), ask(seal(prepare(5, 1, insertText), true)), answers(seal(prepared(5, 1, id16), true))}
	lz4 := []step{ask(startup(4, "COMPRESSION", "lz4")), answers(ready(4))}
	var requests, responses string
	for i := range 100 {
		requests += query(4, i, selectText)
		responses = rows(4, i, 1) + responses
	}
	return map[string]*exchanger{
		"query":       newExchanger(begin, ask(query(4, 1, selectText)), answers(rows(4, 1, 3))),
		"execute":     newExchanger(begin, ask(execute(4, 1, id16, "a", "b")), answers(void(4, 1))),
		"prepare":     newExchanger(begin, ask(prepare(4, 1, insertText)), answers(prepared(4, 1, id16))),
		"batch":       newExchanger(begin, ask(batch(4, 1, "#"+id16, "#"+id16, insertText)), answers(void(4, 1))),
		"error":       newExchanger(begin, ask(query(4, 1, selectText)), answers(failure(4, 1, 0x2200))),
		"v5":          newExchanger(five, ask(seal(execute(5, 1, id16, "a", "b"), true)), answers(seal(rows(5, 1, 3), true))),
		"lz4":         newExchanger(lz4, ask(lz4Body(query(4, 1, selectText))), answers(lz4Body(rows(4, 1, 3)))),
		"split":       newExchanger(begin, ask(query(4, 1, selectText)[:9]), ask(query(4, 1, selectText)[9:]), answers(rows(4, 1, 3)[:20]), answers(rows(4, 1, 3)[20:])),
		"100 at once": newExchanger(begin, ask(requests), answers(responses)),
	}
}

func TestAllocations(t *testing.T) {
	for name, e := range workloads() {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				e.run()
			}
			before := e.sink.ended
			require.Zero(t, testing.AllocsPerRun(200, e.run))
			require.Greater(t, e.sink.ended, before)
		})
	}
}

func BenchmarkExchange(b *testing.B) {
	for name, e := range workloads() {
		b.Run(name, func(b *testing.B) {
			before := e.sink.ended
			b.ReportAllocs()
			for b.Loop() {
				e.run()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(e.sink.ended-before), "ns/exchange")
		})
	}
}

func BenchmarkDetect(b *testing.B) {
	p := New(Options{})
	e := &protocol.Evidence{Role: exchange.RoleServer, Bytes: [2][]byte{[]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), nil}}
	b.ReportAllocs()
	for b.Loop() {
		p.Detect(e)
	}
}
