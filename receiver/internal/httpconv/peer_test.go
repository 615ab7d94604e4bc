// SPDX-License-Identifier: Apache-2.0

package httpconv

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/route"
)

// What the request names is what the client asked for; else it is what the client looked
// the address up by.
func TestNamesThatWereLookedUp(t *testing.T) {
	t.Parallel()
	s := settings(t, Options{}, route.Options{})
	for name, tc := range map[string]struct {
		role      exchange.Role
		host      string
		want, url any
	}{
		"host":            {exchange.RoleClient, "shop.test:8080", "shop.test", "http://shop.test:8080/x"},
		"address as host": {exchange.RoleClient, "10.0.0.2:8080", "10.0.0.2", "http://10.0.0.2:8080/x"},
		"no host":         {exchange.RoleClient, "", "looked.up", "http://looked.up:8080/x"},
		"server":          {exchange.RoleServer, "", "10.0.0.1", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, _ := message{role: tc.role, method: "GET", target: "/x", host: tc.host, local: "10.0.0.1:40000", peer: "10.0.0.2:8080"}.exchange(t, s)
			x.Connection.ServerName = "looked.up"
			m := attributes(x)
			require.Equal(t, tc.want, m["server.address"])
			require.Equal(t, tc.url, m["url.full"])
			require.Equal(t, "10.0.0.2", m["network.peer.address"])
			if tc.role == exchange.RoleServer {
				require.Equal(t, "10.0.0.2", m["client.address"])
			}
		})
	}
}
