// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

func TestIdentities(t *testing.T) {
	a, b := NewIdentities(), NewIdentities()
	require.Equal(t, exchange.Identity{}, a.Of(0))
	spans := map[pcommon.SpanID]bool{}
	traces := map[pcommon.TraceID]bool{}
	for seed := uint64(1) << 48; seed < 1<<48+10_000; seed++ {
		id := a.Of(seed)
		require.Equal(t, id, a.Of(seed))
		require.NotEqual(t, id.TraceID, b.Of(seed).TraceID, "another start has other ids")
		spans[id.SpanID], traces[id.TraceID] = true, true
	}
	require.Len(t, spans, 10_000)
	require.Len(t, traces, 10_000)
}
