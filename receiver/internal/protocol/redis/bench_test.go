// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

type countingSink struct{ begun, ended, abandoned int }

func (s *countingSink) Begin(*exchange.Exchange)   { s.begun++ }
func (s *countingSink) End(*exchange.Exchange)     { s.ended++ }
func (s *countingSink) Abandon(*exchange.Exchange) { s.abandoned++ }

// exchanger feeds the same segments over and over.
type exchanger struct {
	sink     countingSink
	stats    protocol.Stats
	parser   protocol.Parser
	segments []protocol.Segment
	now      uint64
	offset   [2]uint64
}

func newExchanger(steps []step) *exchanger {
	e := &exchanger{}
	host := protocol.Host{Connection: &exchange.Connection{Role: exchange.RoleServer}, Sink: &e.sink, Stats: &e.stats, Strings: intern.New(0)}
	e.parser = New(Options{}).New(host, protocol.Received)
	for i, st := range steps {
		s := protocol.Segment{Dir: protocol.Received, Len: len(st[1]), Data: []byte(st[1]), PID: 1, TID: 1}
		if st[0] == "<" {
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

var conversations = map[string]struct {
	steps []step
	each  int // messages
}{
	"get":         {[]step{{">", words("GET user:1000:name")}, {"<", bulkOf("somebody with a name")}}, 2},
	"set":         {[]step{{">", words("SET user:1000:name somebody EX 3600")}, {"<", "+OK\r\n"}}, 2},
	"pipeline16":  {[]step{{">", strings.Repeat(words("GET user:1000:name"), 16)}, {"<", strings.Repeat(bulkOf("somebody with a name"), 16)}}, 32},
	"pipeline100": {[]step{{">", strings.Repeat(words("INCR counter:1000"), 100)}, {"<", strings.Repeat(":1234567\r\n", 100)}}, 200},
	"split":       {[]step{{">", words("GET user:1000:name")[:20]}, {">", words("GET user:1000:name")[20:]}, {"<", "$20\r\nsomebody "}, {"<", "with a name\r\n"}}, 2},
	"error":       {[]step{{">", words("GET list")}, {"<", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"}}, 2},
	"hgetall":     {[]step{{">", words("HGETALL user:1000")}, {"<", "*8\r\n" + strings.Repeat(bulkOf("field")+bulkOf("value"), 4)}}, 2},
	"config":      {[]step{{">", words("CONFIG GET maxmemory")}, {"<", "*2\r\n" + bulkOf("maxmemory") + bulkOf("0")}}, 2},
	"unknown":     {[]step{{">", words("json.get doc")}, {"<", bulkOf("{}")}}, 2},
}

func BenchmarkMessages(b *testing.B) {
	for name, c := range conversations {
		b.Run(name, func(b *testing.B) {
			e := newExchanger(c.steps)
			b.ReportAllocs()
			for b.Loop() {
				e.run()
			}
			if e.sink.ended != b.N*c.each/2 {
				b.Fatalf("%d exchanges in %d runs", e.sink.ended, b.N)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.each), "ns/message")
		})
	}
}

func TestAllocations(t *testing.T) {
	for name, c := range conversations {
		t.Run(name, func(t *testing.T) {
			e := newExchanger(c.steps)
			for range 10 {
				e.run()
			}
			require.Zero(t, testing.AllocsPerRun(100, e.run))
			require.Equal(t, e.sink.begun, e.sink.ended)
			require.Zero(t, e.stats)
		})
	}
}

func BenchmarkDetect(b *testing.B) {
	p := New(Options{})
	e := &protocol.Evidence{Role: exchange.RoleServer, Bytes: [2][]byte{[]byte(words("GET user:1000:name")), nil}}
	b.ReportAllocs()
	for b.Loop() {
		p.Detect(e)
	}
}
