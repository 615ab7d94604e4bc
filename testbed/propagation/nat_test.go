// SPDX-License-Identifier: Apache-2.0

package propagation

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// Where addresses are translated between the ends of a connection on one host, as
// Kubernetes does for services and for what leaves a pod, each end sees another
// connection than the other. They are found to belong together all the same, without
// a context being carried.
func TestThroughNAT(t *testing.T) {
	groundtruth.Requirements(t, "ip", "nft")
	const (
		service, servicePort = "10.212.0.9", 80 // nobody's; what the client connects to
		inner                = "10.213.0.1"     // the client's own, unknown to the server's node
	)
	// hook: where destinations are translated, on which node; "": nowhere. hidden:
	// the client's address is, too, and its port.
	for name, c := range map[string]struct {
		hook   string
		node   func(*pair) *Node
		hidden bool
	}{
		"nothing":                           {},
		"destination, on the client's node": {"output priority -100", (*pair).first, false},
		"destination, on the server's node": {"prerouting priority dstnat", (*pair).second, false},
		"source":                            {hidden: true},
		"destination, on the client's node and source": {"output priority -100", (*pair).first, true},
		"destination, on the server's node and source": {"prerouting priority dstnat", (*pair).second, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			server := p.serve()
			address, port := p.b.Address, p.port
			if c.hook != "" {
				address, port = service, fmt.Sprint(servicePort)
				require.NoError(t, p.a.Run("ip route add "+service+" via "+p.b.Address))
				require.NoError(t, c.node(p).Filter(fmt.Sprintf(`table ip service {
	chain c {
		type nat hook %s
		ip daddr %s tcp dport %d dnat to %s:%s
	}
}
`, c.hook, service, servicePort, p.b.Address, p.port)))
			}
			clientAddress := p.a.Address
			if c.hidden {
				clientAddress = inner
				require.NoError(t, p.a.Run("ip address add "+inner+"/32 dev lo"))
				for _, to := range []string{p.b.Address, service} {
					require.NoError(t, p.a.Run("ip route replace "+to+" via "+p.b.Address+" dev "+p.a.Device+" onlink src "+inner))
				}
				require.NoError(t, p.a.Filter(fmt.Sprintf(`table ip leaving {
	chain c {
		type nat hook postrouting priority srcnat
		ip saddr %s meta l4proto tcp masquerade to :2000-9999
	}
}
`, inner)))
			}
			p.watch("", p.a, p.b)
			p.known(p.a, server)
			const requests = 300
			modes := []string{"http", "http-fresh", "raw-pieces"}
			for _, mode := range modes {
				client, err := p.a.Start(p.peer, "client", mode, address+":"+port, p.url(mode), fmt.Sprint(requests), "4", "100000", "3000")
				require.NoError(t, err)
				t.Cleanup(client.Kill)
				p.known(p.a, client)
				require.NoError(t, client.Go())
				r, err := client.Result()
				require.NoError(t, err)
				require.NoError(t, r.Err())
				require.Equal(t, requests, r.Requests)
				require.Zero(t, r.Injected)
			}
			p.flush()
			hops := p.hops(0)
			require.Len(t, hops, len(modes)*requests)
			children := 0
			for path, h := range hops {
				require.NotNil(t, h.client, path)
				require.NotNil(t, h.server, path)
				// That addresses are translated is no assumption: each end has its own.
				require.Equal(t, address, h.client.Text("server.address"))
				require.Equal(t, port, h.client.Text("server.port"))
				require.Equal(t, p.a.Address, h.server.Text("network.peer.address"))
				if c.hidden {
					require.Less(t, len(h.server.Text("network.peer.port")), 5)
				}
				ok := assert.Equal(t, h.client.SpanID, h.server.ParentID, path) &&
					assert.Equal(t, h.client.TraceID, h.server.TraceID, path) &&
					assert.Equal(t, "connection", h.server.Text("ebpf.parent.method"), path)
				if ok {
					children++
				}
			}
			t.Logf("%d requests from %s to %s:%s, which is %s:%s: %d server spans are their client span's child",
				len(hops), clientAddress, address, port, p.b.Address, p.port, children)
		})
	}
}

func (p *pair) first() *Node  { return p.a }
func (p *pair) second() *Node { return p.b }
