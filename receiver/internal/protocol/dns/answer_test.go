// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// record is one of an answer; data is an address or, of a CNAME, a name.
type record struct {
	owner, data string
	ttl         uint32
}

func wire(name string) (b []byte) {
	for label := range strings.SplitSeq(name, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

// reply is an answer to a question for A records.
func reply(id uint16, question string, records ...record) []byte {
	b := packet(id, 0x8180, question, typeA)
	binary.BigEndian.PutUint16(b[6:], uint16(len(records)))
	for _, r := range records {
		kind, data := uint16(typeCNAME), wire(r.data)
		if a, err := netip.ParseAddr(r.data); err == nil {
			if kind, data = typeA, a.AsSlice(); len(data) == 16 {
				kind = typeAAAA
			}
		}
		b = append(b, wire(r.owner)...)
		b = binary.BigEndian.AppendUint16(b, kind)
		b = binary.BigEndian.AppendUint16(b, classIN)
		b = binary.BigEndian.AppendUint32(b, r.ttl)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
	}
	return b
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	address := netip.MustParseAddr("10.0.0.1")
	for name, test := range map[string]struct {
		question string
		records  []record
		want     []netip.Addr
		ttl      uint32
	}{
		"direct":        {"A.Test", []record{{"a.test", "10.0.0.1", 60}, {"a.test", "10.0.0.2", 50}}, []netip.Addr{address, netip.MustParseAddr("10.0.0.2")}, 50},
		"alias":         {"a.test", []record{{"a.test", "b.Test", 20}, {"B.test", "10.0.0.1", 60}}, []netip.Addr{address}, 20},
		"aliases":       {"a.test", []record{{"a.test", "b.test", 90}, {"b.test", "c.test", 80}, {"c.test", "10.0.0.1", 60}}, []netip.Addr{address}, 60},
		"somebody else": {"a.test", []record{{"b.test", "10.0.0.9", 60}, {"a.test", "10.0.0.1", 60}}, []netip.Addr{address}, 60},
		"only others":   {"a.test", []record{{"b.test", "10.0.0.9", 60}}, nil, 0},
		"alias in vain": {"a.test", []record{{"a.test", "b.test", 60}, {"a.test", "10.0.0.9", 60}}, nil, 0},
		"loop":          {"a.test", []record{{"a.test", "b.test", 60}, {"b.test", "a.test", 60}, {"a.test", "10.0.0.1", 60}}, []netip.Addr{address}, 60},
		"nothing":       {"a.test", nil, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := reply(5, test.question, test.records...)
			var r Reader
			for range 2 { // a Reader is used again
				a, ok := r.Answer(b)
				require.Equal(t, test.want != nil, ok)
				if ok {
					require.Equal(t, Answer{Name: strings.ToLower(test.question), Addresses: test.want, TTL: test.ttl}, a)
				}
			}
			for cut := range b {
				r.Answer(b[:cut])
			}

			var told []Answer
			h := newHarness(exchange.TransportUDP)
			h.p = New(Options{Answered: func(x *exchange.Exchange, a *Answer) {
				require.Equal(t, h.time, x.End)
				told = append(told, Answer{a.Name, append([]netip.Addr(nil), a.Addresses...), a.TTL})
			}}).New(protocol.Host{Connection: &exchange.Connection{Transport: exchange.TransportUDP}, Sink: h.sink, Stats: &h.stats}, protocol.Sent)
			require.NoError(t, h.move(protocol.Sent, packet(5, 0x100, test.question, typeA)))
			require.NoError(t, h.move(protocol.Received, b))
			require.NoError(t, h.move(protocol.Received, b)) // nobody has asked for this one
			// What a server answers is nobody's lookup.
			require.NoError(t, h.move(protocol.Received, packet(6, 0x100, test.question, typeA)))
			b[1] = 6
			require.NoError(t, h.move(protocol.Sent, b))
			if test.want == nil {
				require.Empty(t, told)
				return
			}
			require.Len(t, told, 1)
			require.Equal(t, test.want, told[0].Addresses)
			require.Equal(t, test.ttl, told[0].TTL)
		})
	}
	var r Reader
	for _, b := range [][]byte{
		packet(1, 0x100, "a.test", typeA), packet(1, 0x8183, "a.test", typeA, address.AsSlice()), {}, make([]byte, 12),
	} {
		_, ok := r.Answer(b)
		require.False(t, ok)
	}
}
