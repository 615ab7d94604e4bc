// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/recorded"
)

// packet builds a message.
func packet(id uint16, flags uint16, name string, kind uint16, answers ...[]byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = binary.BigEndian.AppendUint16(b, flags)
	for _, n := range []int{1, len(answers), 0, 0} {
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	}
	for label := range strings.SplitSeq(name, ".") {
		if label != "" {
			b = append(append(b, byte(len(label))), label...)
		}
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, 1)
	for _, a := range answers {
		kind := uint16(typeA)
		if len(a) == 16 {
			kind = typeAAAA
		}
		b = append(b, 0xc0, headerSize)
		b = binary.BigEndian.AppendUint16(b, kind)
		b = append(b, 0, 1, 0, 0, 0, 60)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(a))), a...)
	}
	return b
}

// sink writes down what ends.
type sink struct {
	lines   []string
	begun   int
	ended   int
	dropped int
}

func (s *sink) Begin(*exchange.Exchange) { s.begun++ }
func (s *sink) End(x *exchange.Exchange) {
	s.ended++
	m := pcommon.NewMap()
	x.Detail.PutSpanAttributes(x, m)
	get := func(key string) string {
		v, ok := m.Get(key)
		if !ok {
			return "-"
		}
		return v.AsString()
	}
	s.lines = append(s.lines, fmt.Sprintf("%s %s %s %s %s %s %d-%d", x.Role, x.Detail.SpanName(x), get(attrQuestion), get(attrResponseCode), get(attrAnswers), get(attrErrorType), x.Start, x.End))
}
func (s *sink) Abandon(*exchange.Exchange) { s.dropped++ }

type harness struct {
	*sink
	p     protocol.Parser
	stats protocol.Stats
	time  uint64
	at    [2]uint64
}

func newHarness(transport exchange.Transport) *harness {
	h := &harness{sink: &sink{}, time: 1000}
	h.p = New(Options{}).New(protocol.Host{Connection: &exchange.Connection{Transport: transport}, Sink: h.sink, Stats: &h.stats}, protocol.Sent)
	return h
}

func (h *harness) move(dir protocol.Direction, b []byte) error {
	h.time += 10
	s := &protocol.Segment{Dir: dir, Time: h.time, First: h.time - 1, Offset: h.at[dir], Len: len(b), Data: b}
	h.at[dir] += uint64(len(b))
	return h.p.Segment(s)
}

func TestPairsByIDAndQuestion(t *testing.T) {
	t.Parallel()
	h := newHarness(exchange.TransportUDP)
	require.NoError(t, h.move(protocol.Sent, packet(1, 0x100, "Example.COM", typeA)))
	require.NoError(t, h.move(protocol.Sent, packet(1, 0x100, "example.com", typeAAAA)))
	require.NoError(t, h.move(protocol.Received, packet(2, 0x100, "served.test", 15)))
	require.NoError(t, h.move(protocol.Received, packet(1, 0x8183, "example.com", typeAAAA)))
	require.NoError(t, h.move(protocol.Received, packet(1, 0x8180, "example.com", typeA, []byte{10, 0, 0, 1}, make([]byte, 16))))
	require.NoError(t, h.move(protocol.Sent, packet(2, 0x8183, "served.test", 15)))
	require.NoError(t, h.move(protocol.Received, packet(9, 0x8180, "nobody.asked", typeA)))
	require.Equal(t, []string{
		`client DNS AAAA example.com NXDOMAIN - NXDOMAIN 1019-1040`,
		`client DNS A example.com NOERROR ["10.0.0.1","::"] - 1009-1050`,
		`server DNS MX served.test NXDOMAIN - - 1029-1060`,
	}, h.lines)
	require.EqualValues(t, 1, h.stats.Unmatched)
	require.Equal(t, 3, h.begun)
}

func TestUnanswered(t *testing.T) {
	t.Parallel()
	h := newHarness(exchange.TransportUDP)
	ticker := h.p.(protocol.Ticker)
	require.NoError(t, h.move(protocol.Sent, packet(1, 0x100, "slow.test", typeA)))
	ticker.Tick(h.time + 1e9)
	require.Empty(t, h.lines)
	h.time += 2e9
	require.NoError(t, h.move(protocol.Sent, packet(1, 0x100, "slow.test", typeA))) // again
	ticker.Tick(h.time + 6e9)
	require.Equal(t, []string{
		"client DNS A slow.test - - timeout 1009-2000001019",
		"client DNS A slow.test - - timeout 2000001019-7000001019",
	}, h.lines)
	require.NoError(t, h.move(protocol.Received, packet(3, 0x100, "mine.test", typeA)))
	h.p.Close(0, exchange.FailureNone)
	require.Equal(t, 1, h.dropped)
}

func TestErrorWithoutQuestion(t *testing.T) {
	t.Parallel()
	h := newHarness(exchange.TransportUDP)
	require.NoError(t, h.move(protocol.Sent, packet(7, 0x100, "x.test", typeA)))
	require.NoError(t, h.move(protocol.Received, []byte{0, 7, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0}))
	require.Equal(t, []string{"client DNS A x.test FORMERR - FORMERR 1009-1020"}, h.lines)
}

// On TCP messages follow each other, in whatever pieces.
func TestTCP(t *testing.T) {
	t.Parallel()
	framed := func(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }
	var queries, answers []byte
	for i := range 50 {
		name := fmt.Sprintf("n%d.test", i)
		queries = append(queries, framed(packet(uint16(i), 0x100, name, typeA))...)
		answers = append(answers, framed(packet(uint16(49-i), 0x8180, fmt.Sprintf("n%d.test", 49-i), typeA, []byte{10, 0, 0, byte(49 - i)}))...)
	}
	for _, piece := range []int{1, 2, 3, 17, 1000, 1 << 20} {
		h := newHarness(exchange.TransportTCP)
		for _, part := range []struct {
			dir protocol.Direction
			b   []byte
		}{{protocol.Sent, queries}, {protocol.Received, answers}} {
			for b := part.b; len(b) > 0; {
				n := min(piece, len(b))
				require.NoError(t, h.move(part.dir, b[:n]))
				b = b[n:]
			}
		}
		require.Equal(t, 50, h.ended)
		for i, line := range h.lines {
			require.Contains(t, line, fmt.Sprintf(`client DNS A n%d.test NOERROR ["10.0.0.%d"] -`, 49-i, 49-i))
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		bytes []byte
		want  string
		ok    bool
	}{
		"root":              {[]byte{0}, ".", true},
		"dots and spaces":   {[]byte{4, 'a', '.', ' ', 0xff, 0}, `a\.\032\255`, true},
		"too long a label":  {append([]byte{64}, make([]byte, 70)...), "", false},
		"pointer to itself": {[]byte{0xc0, 0}, "", false},
		"pointer ahead":     {[]byte{0xc0, 5, 0, 0, 0, 0}, "", false},
		"cut":               {[]byte{3, 'a', 'b'}, "", false},
		"pointer cut":       {[]byte{0xc0}, "", false},
	} {
		got, _, ok := appendName(nil, test.bytes, 0)
		require.Equal(t, test.ok, ok, name)
		if ok {
			require.Equal(t, test.want, string(got), name)
		}
	}
}

func TestDetects(t *testing.T) {
	t.Parallel()
	p := New(Options{})
	query := packet(5, 0x100, "www.example.com", typeA)
	opt := append([]byte(nil), query...)
	opt[11] = 1
	opt = append(opt, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0)
	mdns := packet(0, 0, "printer.local", 12)
	for name, test := range map[string]struct {
		bytes     []byte
		transport exchange.Transport
		want      protocol.Verdict
	}{
		"query":                {query, exchange.TransportUDP, protocol.Accepted},
		"query with EDNS":      {opt, exchange.TransportUDP, protocol.Accepted},
		"response":             {packet(5, 0x8180, "www.example.com", typeA), exchange.TransportUDP, protocol.Rejected},
		"multicast":            {mdns, exchange.TransportUDP, protocol.Rejected},
		"something behind it":  {append(append([]byte(nil), query...), 1), exchange.TransportUDP, protocol.Rejected},
		"short":                {query[:20], exchange.TransportUDP, protocol.Rejected},
		"over TCP":             {append([]byte{0, byte(len(query))}, query...), exchange.TransportTCP, protocol.Accepted},
		"half of it, over TCP": {append([]byte{0, byte(len(query))}, query[:15]...), exchange.TransportTCP, protocol.Undecided},
		"HTTP":                 {[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), exchange.TransportTCP, protocol.Undecided},
		"TLS":                  {append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, make([]byte, 508)...), exchange.TransportTCP, protocol.Undecided},
		"QUIC":                 {append([]byte{0xc3, 0, 0, 0, 1, 8}, make([]byte, 1194)...), exchange.TransportUDP, protocol.Rejected},
		"statsd":               {[]byte("requests:1|c|#env:prod,service:a"), exchange.TransportUDP, protocol.Rejected},
	} {
		e := &protocol.Evidence{Role: exchange.RoleClient, Transport: test.transport}
		e.Bytes[protocol.Sent] = test.bytes
		got, _ := p.Detect(e)
		if test.want == protocol.Undecided && name != "half of it, over TCP" {
			require.NotEqual(t, protocol.Accepted, got, name)
			continue
		}
		require.Equal(t, test.want, got, name)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 200_000 {
		b := make([]byte, 12+r.IntN(100))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		for _, transport := range []exchange.Transport{exchange.TransportUDP, exchange.TransportTCP} {
			e := &protocol.Evidence{Transport: transport}
			e.Bytes[protocol.Received] = b
			got, _ := p.Detect(e)
			require.NotEqual(t, protocol.Accepted, got, "%x", b)
		}
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	h := newHarness(exchange.TransportUDP)
	h.sink.lines = nil
	q, a := packet(1, 0x100, "example.com", typeA), packet(1, 0x8180, "example.com", typeA, []byte{1, 2, 3, 4})
	silent := &quiet{}
	h.p = New(Options{}).New(protocol.Host{Connection: &exchange.Connection{Transport: exchange.TransportUDP}, Sink: silent, Stats: &h.stats}, protocol.Sent)
	var s protocol.Segment
	pair := func() {
		s = protocol.Segment{Dir: protocol.Sent, Time: 1, First: 1, Len: len(q), Data: q}
		_ = h.p.Segment(&s)
		s = protocol.Segment{Dir: protocol.Received, Time: 2, First: 2, Len: len(a), Data: a}
		_ = h.p.Segment(&s)
	}
	pair()
	// The name itself: there is no string table here.
	require.LessOrEqual(t, testing.AllocsPerRun(100, pair), 1.0)
}

type quiet struct{}

func (*quiet) Begin(*exchange.Exchange)   {}
func (*quiet) End(*exchange.Exchange)     {}
func (*quiet) Abandon(*exchange.Exchange) {}

func FuzzParser(f *testing.F) {
	f.Add(packet(1, 0x100, "a.test", 1), packet(1, 0x8180, "a.test", 1, []byte{1, 2, 3, 4}), true)
	f.Add([]byte{0, 1}, []byte{0xc0, 0x0c}, false)
	for _, c := range recorded.Read(f) {
		for i := range c.Pieces[1:] {
			f.Add(c.Pieces[i].Bytes, c.Pieces[i+1].Bytes, c.Datagrams)
		}
	}
	f.Fuzz(func(t *testing.T, sent, received []byte, udp bool) {
		transport := exchange.TransportTCP
		if udp {
			transport = exchange.TransportUDP
		}
		h := newHarness(transport)
		for range 3 {
			if h.move(protocol.Sent, sent) != nil || h.move(protocol.Received, received) != nil {
				break
			}
		}
		h.p.Close(h.time, exchange.FailureReset)
		if h.begun != h.ended+h.dropped {
			t.Fatalf("%d begun, %d ended, %d abandoned", h.begun, h.ended, h.dropped)
		}
	})
}

func BenchmarkPair(b *testing.B) {
	h := newHarness(exchange.TransportUDP)
	q, a := packet(1, 0x100, "example.com", typeA), packet(1, 0x8180, "example.com", typeA, []byte{1, 2, 3, 4})
	p := New(Options{}).New(protocol.Host{Connection: &exchange.Connection{Transport: exchange.TransportUDP}, Sink: &quiet{}, Stats: &h.stats}, protocol.Sent)
	var s protocol.Segment
	b.ReportAllocs()
	for b.Loop() {
		s = protocol.Segment{Dir: protocol.Sent, Time: 1, First: 1, Len: len(q), Data: q}
		_ = p.Segment(&s)
		s = protocol.Segment{Dir: protocol.Received, Time: 2, First: 2, Len: len(a), Data: a}
		_ = p.Segment(&s)
	}
}
