// SPDX-License-Identifier: Apache-2.0

package red

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// The service at the other end is a dimension where that is asked for.
func TestPeers(t *testing.T) {
	t.Parallel()
	for _, peers := range []bool{true, false} {
		a := newAggregator(t, Options{Peers: peers})
		s := a.Shard()
		w := newInstance("i")
		for _, p := range []*exchange.Party{nil, {Service: "cart", Namespace: "shop"}, {Service: "cart"}, {Service: "cart", Namespace: "shop"}} {
			x, _ := newExchange(w, "a", time.Millisecond)
			x.Connection = &exchange.Connection{Party: p}
			s.Begin(x)
			s.End(x, false)
		}
		counts := map[string]uint64{}
		metrics := a.Collect(at(2)).ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
		for _, m := range metrics.All() {
			if m.Name() != "test.server.duration" {
				continue
			}
			for _, p := range m.Histogram().DataPoints().All() {
				get := func(key string) string {
					if v, ok := p.Attributes().Get(key); ok {
						return v.Str()
					}
					return ""
				}
				counts[get("service.peer.namespace")+"/"+get("service.peer.name")] += p.Count()
			}
		}
		want := map[string]uint64{"/": 1, "/cart": 1, "shop/cart": 2}
		if !peers {
			want = map[string]uint64{"/": 4}
		}
		require.Equal(t, want, counts)
	}
}
