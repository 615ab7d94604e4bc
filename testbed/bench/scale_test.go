// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// TestScale is a short storm: nothing that is selected is missed, nothing else is
// reported, and nothing stays behind.
func TestScale(t *testing.T) {
	groundtruth.Requirements(t)
	o := scaleDefaults
	o.seconds, o.steady = 2, time.Second
	r, err := runScale(t.Context(), o)
	require.NoError(t, err)
	t.Log("\n" + r.String())
	assert.Equal(t, o.selected, r.HerdFound)
	assert.Zero(t, r.HerdBogus)
	assert.Equal(t, o.rate*o.seconds/20, r.StormExpected, "requests that the storm made")
	assert.Zero(t, r.StormLost)
	assert.Zero(t, r.StormBogus)
	// A response to what was asked before the collector came is unmatched, and no loss.
	assert.Empty(t, slices.DeleteFunc(r.Losses, func(l string) bool { return strings.Contains(l, "parser_unmatched") }))
	assert.Empty(t, r.grown(), "left in the kernel's maps")
	assert.Less(t, r.Goroutines, 150)
	assert.Less(t, r.RSSAfter, r.RSSBefore+64, "MiB")
}
