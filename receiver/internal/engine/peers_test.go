// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"encoding/binary"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/capture"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
)

// fakeCluster knows who has which address.
type fakeCluster struct {
	cluster.View
	peers map[netip.AddrPort]cluster.Peer
	asked int
}

func (f *fakeCluster) Peer(a netip.AddrPort) (cluster.Peer, bool) {
	f.asked++
	p, ok := f.peers[a]
	return p, ok
}

// conversation writes records as the kernel does.
type conversation struct {
	tb   testing.TB
	time uint64
	id   uint64
	pid  uint32
}

func mapped(a netip.Addr) [16]byte { return a.As16() }

// open announces a client's connection, or a server's.
func (c *conversation) open(role, transport uint8, peer string, wire uint64) (id uint64, record []byte) {
	c.time += 1000
	c.id++
	address := netip.MustParseAddrPort(peer)
	return c.id, capture.NewOpenRecord(capture.Open{
		Conn: c.id, Role: role, Transport: transport, Tgid: c.pid, Time: c.time, Wire: wire,
		Peer: mapped(address.Addr()), PeerPort: address.Port(), Local: mapped(netip.MustParseAddr("10.0.0.100")), LocalPort: 40000,
	})
}

func (c *conversation) move(id uint64, dir uint8, offset int, data []byte) []byte {
	c.time += 1000
	record, _ := capture.NewSegmentRecord(capture.Segment{
		Conn: id, Dir: dir, Offset: uint64(offset), Len: uint32(len(data)), Tgid: c.pid, Tid: c.pid, Time: c.time, Identity: c.time, Trace: c.time,
	}, data)
	return record
}

// lookup is a question for a name, and the answer.
func (c *conversation) lookup(name string, address string) [][]byte {
	message := func(flags, answers uint16) []byte {
		b := binary.BigEndian.AppendUint16(nil, uint16(c.id)+1)
		for _, n := range []uint16{flags, 1, answers, 0, 0} {
			b = binary.BigEndian.AppendUint16(b, n)
		}
		for label := range strings.SplitSeq(name, ".") {
			b = append(append(b, byte(len(label))), label...)
		}
		b = append(b, 0, 0, 1, 0, 1)
		if answers > 0 {
			b = append(b, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
			b = append(b, netip.MustParseAddr(address).AsSlice()...)
		}
		return b
	}
	id, open := c.open(2, 2, "10.0.0.53:53", 0)
	asked := message(0x100, 0)
	return [][]byte{open, c.move(id, 1, 0, asked), c.move(id, 0, 0, message(0x8180, 1))}
}

const (
	get     = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
	missing = "$-1\r\n"
)

// command is one of Redis's, from either end.
func (c *conversation) command(id uint64, client bool, n int) [][]byte {
	request, response := uint8(1), uint8(0)
	if !client {
		request, response = 0, 1
	}
	return [][]byte{c.move(id, request, n*len(get), []byte(get)), c.move(id, response, n*len(missing), []byte(missing))}
}

func peerEngine(tb testing.TB, view cluster.View, traces func(ptrace.Traces)) (*Engine, *shard) {
	c := config.Default()
	e := New(Settings{
		Config: c, Logger: zap.NewNop(), Telemetry: componenttest.NewNopTelemetrySettings(),
		Traces: traces, Metrics: func(pmetric.Metrics) {},
	})
	require.NoError(tb, e.build())
	e.peers.cluster = view
	return e, newShard(e, nil, noPolicies{}, 1000)
}

// spansOf are the attributes of the spans but those of DNS, in order.
func spansOf(s *shard, got *[]ptrace.Traces) (list []map[string]any) {
	s.flush(true)
	for _, td := range *got {
		for _, r := range td.ResourceSpans().All() {
			for _, scope := range r.ScopeSpans().All() {
				for _, span := range scope.Spans().All() {
					if m := span.Attributes().AsRaw(); m["db.system.name"] != nil {
						list = append(list, m)
					}
				}
			}
		}
	}
	*got = nil
	return list
}

func TestServerIsCalledByTheNameThatWasLookedUp(t *testing.T) {
	var got []ptrace.Traces
	_, s := peerEngine(t, nil, func(td ptrace.Traces) { got = append(got, td) })
	c := &conversation{tb: t, time: 1e9, pid: uint32(os.Getpid())}
	play := func(records ...[]byte) {
		for _, r := range records {
			s.record(r)
		}
	}
	play(c.lookup("cache.test", "10.0.0.1")...)
	id, open := c.open(2, 0, "10.0.0.1:6379", 0)
	play(open)
	for n := range 2 {
		play(c.command(id, true, n)...)
	}
	other, open := c.open(2, 0, "10.0.0.2:6379", 0)
	play(open)
	play(c.command(other, true, 0)...)
	play(c.lookup("late.test", "10.0.0.2")...)
	play(c.command(other, true, 1)...)
	var addresses []any
	for _, m := range spansOf(s, &got) {
		addresses = append(addresses, m["server.address"])
		require.Contains(t, []any{"10.0.0.1", "10.0.0.2"}, m["network.peer.address"])
	}
	require.Equal(t, []any{"cache.test", "cache.test", "10.0.0.2", "10.0.0.2"}, addresses)
}

// Another reader's answers are learned from its ring before it reads them, and count once.
func TestAnswersAreScanned(t *testing.T) {
	var got []ptrace.Traces
	e, s := peerEngine(t, nil, func(td ptrace.Traces) { got = append(got, td) })
	other := newShard(e, nil, noPolicies{}, 1000)
	c := &conversation{tb: t, time: 1e9, pid: uint32(os.Getpid())}
	first := c.lookup("a.test", "10.0.0.1")
	id, open := c.open(2, 0, "10.0.0.1:6379", 0)
	records := append([][]byte{open}, c.command(id, true, 0)...)
	second := c.lookup("b.test", "10.0.0.1")
	id, open = c.open(2, 0, "10.0.0.1:6379", 0)
	records = append(append(records, open), c.command(id, true, 0)...)
	id, open = c.open(2, 0, "10.0.0.1:6379", 0) // nobody has looked this one up
	records = append(append(records, open), c.command(id, true, 0)...)
	for _, r := range append(first, second...) {
		other.peek(r)
	}
	for _, r := range records {
		s.record(r)
	}
	for _, r := range append(first, second...) {
		other.record(r)
	}
	id, open = c.open(2, 0, "10.0.0.1:6379", 0)
	for _, r := range append([][]byte{open}, c.command(id, true, 0)...) {
		s.record(r)
	}
	var addresses []any
	for _, m := range spansOf(s, &got) {
		addresses = append(addresses, m["server.address"])
	}
	require.Equal(t, []any{"a.test", "b.test", "10.0.0.1", "10.0.0.1"}, addresses)
}

func TestPeersInTheCluster(t *testing.T) {
	var got []ptrace.Traces
	pod := netip.MustParseAddrPort("10.1.0.1:6379")
	view := &fakeCluster{peers: map[netip.AddrPort]cluster.Peer{
		pod:                                      {Namespace: "shop", Service: "cart", Pod: "cart-7d9-x", Owner: cluster.Owner{Kind: "Deployment", Name: "cart-v2"}},
		netip.MustParseAddrPort("10.2.0.1:6379"): {Namespace: "shop", Service: "cart"},
		netip.MustParseAddrPort("10.1.0.2:6379"): {Namespace: "shop", Pod: "bare"},
	}}
	_, s := peerEngine(t, view, func(td ptrace.Traces) { got = append(got, td) })
	c := &conversation{tb: t, time: 1e9, pid: uint32(os.Getpid())}
	for _, tc := range []struct {
		role uint8
		peer string
		want map[string]any
	}{
		{2, "10.1.0.1:6379", map[string]any{
			"service.peer.name": "cart-v2", "service.peer.namespace": "shop", "ebpf.peer.k8s.namespace.name": "shop", "ebpf.peer.k8s.pod.name": "cart-7d9-x",
			"ebpf.peer.k8s.service.name": "cart", "ebpf.peer.k8s.deployment.name": "cart-v2",
		}},
		{1, "10.1.0.1:6379", map[string]any{
			"service.peer.name": "cart-v2", "service.peer.namespace": "shop", "ebpf.peer.k8s.namespace.name": "shop", "ebpf.peer.k8s.pod.name": "cart-7d9-x",
			"ebpf.peer.k8s.service.name": "cart", "ebpf.peer.k8s.deployment.name": "cart-v2",
		}},
		{2, "10.2.0.1:6379", map[string]any{
			"service.peer.name": "cart", "service.peer.namespace": "shop", "ebpf.peer.k8s.namespace.name": "shop", "ebpf.peer.k8s.service.name": "cart",
		}},
		{2, "10.1.0.2:6379", map[string]any{"ebpf.peer.k8s.namespace.name": "shop", "ebpf.peer.k8s.pod.name": "bare"}},
		{2, "10.9.0.1:6379", map[string]any{}},
	} {
		id, open := c.open(tc.role, 0, tc.peer, 0)
		s.record(open)
		for n := range 2 {
			for _, r := range c.command(id, tc.role == 2, n) {
				s.record(r)
			}
		}
		spans := spansOf(s, &got)
		require.Len(t, spans, 2)
		for _, m := range spans {
			peer := map[string]any{}
			for k, v := range m {
				if strings.HasPrefix(k, "service.peer") || strings.HasPrefix(k, "ebpf.peer") {
					peer[k] = v
				}
			}
			require.Equal(t, tc.want, peer, tc.peer)
		}
	}
	// Who is known is not asked for again, who is not seldom.
	id, open := c.open(2, 0, "10.9.0.2:6379", 0)
	s.record(open)
	view.asked = 0
	for n := range 100 {
		for _, r := range c.command(id, true, n) {
			s.record(r)
		}
	}
	require.LessOrEqual(t, view.asked, promptMeets+1)
	// A pod becomes known after it talks.
	view.peers[netip.MustParseAddrPort("10.9.0.2:6379")] = view.peers[pod]
	c.time += meetAgain
	spansOf(s, &got)
	for _, r := range c.command(id, true, 100) {
		s.record(r)
	}
	require.Equal(t, "cart-v2", spansOf(s, &got)[0]["service.peer.name"])
}

// Both ends are on this node: each has the other's service.
func TestPeersOnThisNode(t *testing.T) {
	var got []ptrace.Traces
	e, s := peerEngine(t, nil, func(td ptrace.Traces) { got = append(got, td) })
	c := &conversation{tb: t, time: monotonic(), pid: uint32(os.Getpid())}
	client, open := c.open(2, 0, "127.0.0.1:6379", 77)
	s.record(open)
	server, open := c.open(1, 0, "127.0.0.1:40000", 77)
	request := c.command(client, true, 0)
	s.record(request[0])
	s.peek(open) // the server's end is further on in the ring
	s.record(request[1])
	s.record(open)
	for _, r := range c.command(server, false, 0) {
		s.record(r)
	}
	name := e.processes.Lookup(c.pid).Instance.ServiceName
	spans := spansOf(s, &got)
	require.Len(t, spans, 2)
	for _, m := range spans {
		require.Equal(t, name, m["service.peer.name"])
	}
}

// Nothing is allocated for an exchange on a connection whose ends are known.
func TestPeersCostNothingPerExchange(t *testing.T) {
	e, s := peerEngine(t, &fakeCluster{}, nil)
	e.settings.Config.Sampler.Name = config.AlwaysOff
	c := &conversation{tb: t, time: 1e9, pid: uint32(os.Getpid())}
	id, open := c.open(2, 0, "10.9.0.1:6379", 0)
	s.record(open)
	n := 0
	once := func() {
		for _, r := range c.command(id, true, n) {
			s.record(r)
		}
		n++
	}
	for range 100 {
		once()
	}
	made := testing.AllocsPerRun(500, func() { c.command(id, true, n) })
	require.LessOrEqual(t, testing.AllocsPerRun(500, once), made)
}
