// SPDX-License-Identifier: Apache-2.0

package causality

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

func TestIDs(t *testing.T) {
	a, b := NewIDs(), NewIDs()
	require.True(t, a.TraceID(0).IsEmpty())
	require.True(t, a.SpanID(0).IsEmpty())
	spans := map[pcommon.SpanID]bool{}
	traces := map[pcommon.TraceID]bool{}
	for seed := uint64(1) << 48; seed < 1<<48+10_000; seed++ {
		require.Equal(t, a.TraceID(seed), a.TraceID(seed))
		require.NotEqual(t, a.TraceID(seed), b.TraceID(seed), "another start has other ids")
		spans[a.SpanID(seed)], traces[a.TraceID(seed)] = true, true
	}
	require.Len(t, spans, 10_000)
	require.Len(t, traces, 10_000)
}
