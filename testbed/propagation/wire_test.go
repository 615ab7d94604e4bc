// SPDX-License-Identifier: Apache-2.0

package propagation

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// What the option looks like on the wire.
var (
	shortOption     = []byte{254, 4, 0x6f, 0x74}
	unsampledOption = []byte{254, 28, 0x6f, 0x74}
	sampledOption   = []byte{254, 28, 0x6f, 0x75}
)

// ask makes requests from the first node, one after the other, a connection each or
// all on one.
func (p *pair) ask(name string, fresh bool, requests int) Result {
	p.t.Helper()
	mode := "raw"
	if fresh {
		mode = "http-fresh"
	}
	c, err := p.a.Start(p.peer, "client", mode, p.b.Address+":"+p.port, p.url(name), fmt.Sprint(requests), "1", "0", "0")
	require.NoError(p.t, err)
	p.t.Cleanup(c.Kill)
	p.known(p.a, c)
	require.NoError(p.t, c.Go())
	r, err := c.Result()
	require.NoError(p.t, err)
	require.NoError(p.t, r.Err())
	return r
}

func optionsOf(packets []Packet, which func(p *Packet) bool) (all [][]byte) {
	for i := range packets {
		if which(&packets[i]) {
			all = append(all, packets[i].Options...)
		}
	}
	return all
}

func isSYN(p *Packet) bool     { return p.SYN && !p.ACK }
func isSYNACK(p *Packet) bool  { return p.SYN && p.ACK }
func isData(p *Packet) bool    { return !p.SYN && p.Payload > 0 }
func isControl(p *Packet) bool { return !p.SYN && p.Payload == 0 }
func anyPacket(*Packet) bool   { return true }

// Without injection, and with headers alone, no packet has an option.
func TestNoOptionUnlessAsked(t *testing.T) {
	groundtruth.Requirements(t, "ip")
	for _, receiver := range []string{"", inject("http_header")} {
		t.Run(receiver, func(t *testing.T) {
			p := newPair(t)
			p.watch(receiver, p.a)
			p.watch(receiver, p.b)
			p.serve()
			s, err := p.b.Sniff()
			require.NoError(t, err)
			r := p.ask("x", true, 5)
			require.Equal(t, receiver == "", r.Injected == 0)
			packets := s.Take()
			require.Greater(t, len(packets), 30)
			require.Empty(t, optionsOf(packets, anyPacket))
		})
	}
}

// Between two nodes that both ask for it, the option is in the handshake, and then
// on the segments that begin a request: with the ids of the client's span.
func TestOptionOnTheWire(t *testing.T) {
	groundtruth.Requirements(t, "ip")
	for sampler, first := range map[string][]byte{"always_on": sampledOption, "always_off": unsampledOption} {
		t.Run(sampler, func(t *testing.T) {
			p := newPair(t)
			receiver := inject("tcp_option") + "sampler: {name: " + sampler + "}\n"
			p.watch(receiver, p.a)
			p.watch(receiver, p.b)
			p.serve()
			s, err := p.b.Sniff()
			require.NoError(t, err)
			const requests = 20
			p.ask("x", false, requests)
			packets := s.Take()
			require.Equal(t, [][]byte{shortOption}, optionsOf(packets, isSYN))
			require.Equal(t, [][]byte{shortOption}, optionsOf(packets, isSYNACK))
			require.Empty(t, optionsOf(packets, isControl))
			data := optionsOf(packets, isData)
			require.Len(t, data, requests)
			for _, o := range data {
				require.Equal(t, first, o[:4])
				require.Len(t, o, 28)
			}
			for _, packet := range packets {
				if len(packet.Options) > 0 && isData(&packet) {
					require.Equal(t, p.a.Address, packet.Source, "responses carry none")
				}
			}
			if sampler == "always_off" {
				return
			}
			p.hops(requests)
			var spans [][]byte
			for _, span := range p.sink[p.a].Spans() {
				if span.Kind == ptrace.SpanKindClient {
					spans = append(spans, bytes.Join([][]byte{sampledOption, span.TraceID[:], span.SpanID[:]}, nil))
				}
			}
			require.ElementsMatch(t, spans, data)
		})
	}
}

// A peer that does not know the option gets it in one SYN, and then no more.
func TestPeerWithoutSupport(t *testing.T) {
	groundtruth.Requirements(t, "ip")
	p := newPair(t)
	p.watch(inject("tcp_option"), p.a)
	p.judged(p.a, p.serve(), ignored)
	s, err := p.b.Sniff()
	require.NoError(t, err)
	p.ask("x", true, 5)
	packets := s.Take()
	syns := 0
	for i := range packets {
		if isSYN(&packets[i]) {
			syns++
		}
	}
	require.Equal(t, 5, syns)
	require.Equal(t, [][]byte{shortOption}, optionsOf(packets, isSYN))
	require.Len(t, optionsOf(packets, anyPacket), 1)
	require.EqualValues(t, 5, p.telemetry(p.a)[`otelcol_receiver_ebpf_contexts_omitted{carrier="tcp_option",reason="peer"}`])
}

// A middlebox that drops SYNs with options it does not know costs the first
// connection one retransmission, and later ones nothing.
func TestMiddleboxThatDrops(t *testing.T) {
	groundtruth.Requirements(t, "ip", "nft")
	p := newPair(t)
	p.watch(inject("tcp_option"), p.a)
	p.watch(inject("tcp_option"), p.b)
	p.serve()
	require.NoError(t, p.b.Filter(`table inet middlebox {
	chain c {
		type filter hook input priority 0
		tcp flags & (syn|ack) == syn tcp option 254 exists drop
	}
}
`))
	s, err := p.b.Sniff()
	require.NoError(t, err)
	first := p.ask("x", true, 1)
	later := p.ask("y", true, 10)
	packets := s.Take()
	require.Greater(t, first.Elapsed(), 900*time.Millisecond)
	require.Less(t, first.Elapsed(), 2500*time.Millisecond, "one retransmission after a second")
	require.Less(t, later.Elapsed(), 500*time.Millisecond)
	syns := 0
	for i := range packets {
		if isSYN(&packets[i]) {
			syns++
		}
	}
	require.Equal(t, 12, syns)
	require.Equal(t, [][]byte{shortOption}, optionsOf(packets, anyPacket))
	require.EqualValues(t, 11, p.telemetry(p.a)[`otelcol_receiver_ebpf_contexts_omitted{carrier="tcp_option",reason="peer"}`])
}

// A trace that begins elsewhere goes on over the hop, as what it is: with its id, its
// sampled flag and, in headers, its state.
func TestTraceGoesOn(t *testing.T) {
	groundtruth.Requirements(t, "ip", "python3")
	const trace, parent, state = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
	for _, way := range []string{"tcp_option", "http_header"} {
		t.Run(way, func(t *testing.T) {
			p := newPair(t)
			p.watch(inject(way), p.a)
			p.watch(inject(way), p.b)
			p.serve()
			service, err := p.a.Start("python3", groundtruth.Root()+"/testbed/propagation/service.py", p.b.Address+":"+p.port)
			require.NoError(t, err)
			t.Cleanup(service.Kill)
			line, err := service.Line()
			require.NoError(t, err)
			port := strings.TrimPrefix(line, "listening ")
			p.known(p.a, service)
			s, err := p.b.Sniff()
			require.NoError(t, err)
			answers := map[string]string{}
			for _, flags := range []string{"01", "00"} {
				answer, err := p.a.Get("127.0.0.1:"+port, fmt.Sprintf(
					"GET /%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\ntraceparent: 00-%s-%s-%s\r\ntracestate: %s\r\n\r\n",
					flags, trace, parent, flags, state))
				require.NoError(t, err)
				answers[flags] = answer
			}
			packets := s.Take()
			p.flush()

			// Of the sampled one: the service's server and client span, and the
			// server's, in one line. Of the other one, nothing.
			spans := map[ptrace.SpanKind]*groundtruth.Span{}
			for _, span := range p.sink[p.a].Spans() {
				t.Logf("%v %s of %v, parent %v, trace %v", span.Kind, span.Name, span.Text("url.full")+span.Text("url.path"), span.ParentID, span.TraceID)
				spans[span.Kind] = span
			}
			require.Len(t, p.sink[p.a].Spans(), 2)
			require.Len(t, p.sink[p.b].Spans(), 1)
			served, called, last := spans[ptrace.SpanKindServer], spans[ptrace.SpanKindClient], p.sink[p.b].Spans()[0]
			require.Equal(t, parent, served.ParentID.String())
			require.Equal(t, served.SpanID, called.ParentID)
			require.Equal(t, called.SpanID, last.ParentID)
			for _, span := range []*groundtruth.Span{served, called, last} {
				require.Equal(t, trace, span.TraceID.String())
			}
			if way == "http_header" {
				require.Contains(t, answers["01"], fmt.Sprintf("1 traceparent: 00-%s-%s-01 | 2 tracestate: %s", trace, called.SpanID, state))
				require.Contains(t, answers["00"], fmt.Sprintf("1 traceparent: 00-%s-", trace))
				require.Contains(t, answers["00"], fmt.Sprintf("-00 | 2 tracestate: %s", state))
				return
			}
			id, err := hex.DecodeString(trace)
			require.NoError(t, err)
			require.NotContains(t, answers["01"], "trace")
			data := optionsOf(packets, isData)
			require.Len(t, data, 2)
			require.Equal(t, bytes.Join([][]byte{sampledOption, id, called.SpanID[:]}, nil), data[0])
			require.Equal(t, append(append([]byte(nil), unsampledOption...), id...), data[1][:20])
			require.Equal(t, "tcp_option", last.Text("ebpf.parent.method"))
		})
	}
}
