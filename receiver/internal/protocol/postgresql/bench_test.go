// SPDX-License-Identifier: Apache-2.0

package postgresql

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

func newExchanger(steps ...string) *exchanger {
	e := &exchanger{}
	host := protocol.Host{Connection: &exchange.Connection{Role: exchange.RoleServer}, Sink: &e.sink, Stats: &e.stats, Strings: intern.New(0)}
	e.parser = New(Options{}).New(host, protocol.Received)
	add := func(steps []string) {
		e.segments = nil
		for i, b := range steps {
			s := protocol.Segment{Dir: protocol.Direction(i % 2), Len: len(b), Data: []byte(b), PID: 1, TID: 1}
			s.Identity.Seed, s.Identity.Trace = uint64(i+1), uint64(i+1)
			e.segments = append(e.segments, s)
		}
	}
	add(hello)
	e.run()
	add(steps)
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

// conversations as pgbench and drivers have them, with the exchanges and messages in each.
var conversations = map[string]struct {
	steps               []string
	exchanges, messages int
}{
	"simple": {[]string{query("SELECT abalance FROM pgbench_accounts WHERE aid = 4711;"), rowDesc + row("0") + complete("SELECT 1") + idle}, 1, 5},
	"extended": {[]string{parse("", "SELECT abalance FROM pgbench_accounts WHERE aid = $1;", 1) + bind("", "", "4711") + describePortal + execute("") + syncMessage,
		parseComplete + bindComplete + rowDesc + row("0") + complete("SELECT 1") + idle}, 1, 11},
	"prepared": {[]string{parse("s", "SELECT abalance FROM pgbench_accounts WHERE aid = $1;", 1) + syncMessage, parseComplete + idle,
		strings.Repeat(bind("", "s", "4711")+describePortal+execute("")+syncMessage, 16), strings.Repeat(bindComplete+rowDesc+row("0")+complete("SELECT 1")+idle, 16)}, 16, 16*9 + 4},
	"rows": {[]string{query("SELECT * FROM t"), rowDesc + strings.Repeat(row("some value", "another value"), 1000) + complete("SELECT 1000") + idle}, 1, 1004},
}

func BenchmarkConversation(b *testing.B) {
	for name, c := range conversations {
		b.Run(name, func(b *testing.B) {
			e := newExchanger(c.steps...)
			b.ReportAllocs()
			for b.Loop() {
				e.run()
			}
			if e.sink.ended != b.N*c.exchanges {
				b.Fatalf("%d exchanges in %d runs", e.sink.ended, b.N)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(e.sink.ended), "ns/exchange")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.messages), "ns/message")
		})
	}
}

func BenchmarkDetect(b *testing.B) {
	p := New(Options{})
	for name, e := range map[string]*protocol.Evidence{
		"startup": {Role: exchange.RoleServer, Bytes: [2][]byte{[]byte(hello[2]), nil}},
		"http":    {Role: exchange.RoleServer, Bytes: [2][]byte{[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), nil}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Detect(e)
			}
		})
	}
}

func TestAllocations(t *testing.T) {
	for name, c := range conversations {
		t.Run(name, func(t *testing.T) {
			e := newExchanger(c.steps...)
			for range 10 {
				e.run()
			}
			allocations := testing.AllocsPerRun(100, e.run)
			if name == "prepared" {
				// The name, once per Parse.
				require.LessOrEqual(t, allocations, 2.0)
			} else {
				require.Zero(t, allocations)
			}
			require.Equal(t, e.sink.begun, e.sink.ended)
			require.Zero(t, e.stats)
		})
	}
}
