// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestScale is a short storm: nothing that is selected is missed, nothing else is
// reported, and nothing stays behind.
func TestScale(t *testing.T) {
	requirements(t)
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
	assert.Empty(t, r.Losses)
	assert.Empty(t, r.grown(), "left in the kernel's maps")
	assert.Less(t, r.Goroutines, 150)
	assert.Less(t, r.RSSAfter, r.RSSBefore+64, "MiB")
}
