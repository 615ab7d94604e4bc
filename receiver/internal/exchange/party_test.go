// SPDX-License-Identifier: Apache-2.0

package exchange

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/xpdata"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

func TestPartyNames(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, semconv.ServicePeerNameKey, AttrServicePeerName)
	require.EqualValues(t, semconv.ServicePeerNamespaceKey, AttrServicePeerNamespace)
	require.Equal(t, "ebpf.peer.k8s.statefulset.name", AttrPeerOwner("statefulset"))
}

func put(x *Exchange) map[string]any {
	var b xpdata.MapBuilder
	b.EnsureCapacity(16)
	x.PutAddresses(&b)
	x.PutKernelAttributes(&b)
	m := pcommon.NewMap()
	b.UnsafeIntoMap(m)
	return m.AsRaw()
}

func TestServerAddress(t *testing.T) {
	t.Parallel()
	connection := func() *Connection {
		return &Connection{Local: netip.MustParseAddrPort("10.0.0.1:40000"), Peer: netip.MustParseAddrPort("10.0.0.2:6379"), ServerName: "cache.test"}
	}
	client := &Exchange{Connection: connection(), Role: RoleClient, Measured: Unmeasured}
	require.Equal(t, map[string]any{
		"server.address": "cache.test", "server.port": int64(6379), "network.peer.address": "10.0.0.2", "network.peer.port": int64(6379),
	}, put(client))
	client.Connection.ServerName = ""
	require.Equal(t, "10.0.0.2", put(client)["server.address"])
	server := &Exchange{Connection: connection(), Role: RoleServer, Measured: Unmeasured}
	require.Equal(t, map[string]any{
		"server.address": "10.0.0.1", "server.port": int64(40000), "client.address": "10.0.0.2", "network.peer.address": "10.0.0.2", "network.peer.port": int64(6379),
	}, put(server))
	nobody := &Exchange{Role: RoleClient, Measured: Unmeasured}
	require.Empty(t, put(nobody))
}

func TestParty(t *testing.T) {
	t.Parallel()
	x := &Exchange{Connection: &Connection{Party: &Party{
		Service: "cart", Namespace: "shop", Attributes: []PartyAttribute{{AttrPeerPod, "cart-1"}, {AttrPeerOwner("deployment"), "cart"}},
	}}, Measured: Unmeasured}
	want := map[string]any{
		"service.peer.name": "cart", "service.peer.namespace": "shop", "ebpf.peer.k8s.pod.name": "cart-1", "ebpf.peer.k8s.deployment.name": "cart",
	}
	require.Equal(t, want, put(x))
	require.GreaterOrEqual(t, x.KernelAttributes(), len(want))
	m := pcommon.NewMap()
	x.PutPartyOnMetric(m)
	require.Equal(t, map[string]any{"service.peer.name": "cart", "service.peer.namespace": "shop"}, m.AsRaw(), "never a pod")

	// Keys differ exactly where attributes do.
	keys := map[string]bool{}
	for _, p := range []*Party{nil, {Service: "ab"}, {Service: "a", Namespace: "b"}, {Namespace: "ab"}, {Service: "ab", Attributes: x.Connection.Party.Attributes}} {
		x.Connection.Party = p
		keys[string(x.AppendParty([]byte("key")))] = true
	}
	require.Len(t, keys, 4)
}

func TestWireUsers(t *testing.T) {
	t.Parallel()
	var none *Wire
	none.Use(RoleClient, 1)
	require.Zero(t, none.User(RoleClient))
	w := &Wire{}
	w.Use(RoleUnknown, 9)
	w.Use(RoleServer, 1)
	w.Use(RoleClient, 2)
	require.EqualValues(t, 1, w.User(RoleServer))
	require.EqualValues(t, 2, w.User(RoleClient))
	require.Zero(t, w.User(RoleUnknown))
}
