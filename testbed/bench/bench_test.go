// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// TestSmoke runs everything for seconds: that it works, not what it says.
func TestSmoke(t *testing.T) {
	missing := t.Skipf
	if os.Getenv("CI") == "true" {
		missing = t.Fatalf
	}
	if os.Geteuid() != 0 {
		missing("needs root")
	}
	if _, err := groundtruth.Binary(); err != nil {
		missing("needs %v", err)
	}
	f, err := os.OpenFile(filepath.Join(os.TempDir(), "otelcol-ebpf-testbed.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))

	result, err := run(t.Context(), options{rounds: 1, duration: time.Second, scenarios: "nginx,go,bystander"}, t.Logf)
	require.NoError(t, err)
	t.Log("\n" + result.String())
	_, err = json.Marshal(result)
	require.NoError(t, err)
	for _, s := range result.Summary {
		if s.Scenario == "bystander" {
			assert.Positive(t, s.NS)
			continue
		}
		assert.Positive(t, s.PerSec)
		if s.Mode == off {
			continue
		}
		assert.Positive(t, s.CollectorCPU)
		// Requests in flight when the load ends may add one each.
		assert.InDelta(t, s.SpansExpected, s.Exchanges, 4*connections, "exchanges of %s, %s", s.Scenario, s.Mode)
		if s.Mode == export {
			assert.InDelta(t, s.SpansExpected, s.SpansReceived, 4*connections, "spans of %s", s.Scenario)
		}
		if s.Mode == statsRun {
			assert.NotEmpty(t, s.Programs)
		}
	}
}

func TestMedian(t *testing.T) {
	assert.InDelta(t, 0, median(nil), 0)
	assert.InDelta(t, 2, median([]float64{3, 1, 2}), 0)
	assert.InDelta(t, 2.5, median([]float64{4, 1, 2, 3}), 0)
}
