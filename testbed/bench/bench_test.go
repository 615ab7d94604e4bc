// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// TestSmoke runs everything for seconds: that it works, not what it says.
func TestSmoke(t *testing.T) {
	groundtruth.Requirements(t)
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
		if s.Lost > 0 {
			t.Logf("%s, %s: %.0f lost", s.Scenario, s.Mode, s.Lost)
			continue
		}
		// Requests in flight when the load ends may add one each; the load
		// generator is a new process that a rule has to select first.
		half := s.SpansExpected / 2
		assert.InDelta(t, half, s.Servers, 4*connections, "server exchanges of %s, %s", s.Scenario, s.Mode)
		assert.InEpsilon(t, half, s.Clients, 0.25, "client exchanges of %s, %s", s.Scenario, s.Mode)
		if s.Mode == export {
			assert.Equal(t, s.Exchanges, s.SpansReceived, "spans of %s", s.Scenario)
		}
		if s.Mode == statsRun || s.Mode == bareRun {
			assert.NotEmpty(t, s.Programs)
		}
	}
}

// TestInject is the same for what injection costs: contexts have to be written.
func TestInject(t *testing.T) {
	groundtruth.Requirements(t)
	result, err := run(t.Context(), options{rounds: 1, duration: time.Second, scenarios: "go", inject: true}, t.Logf)
	require.NoError(t, err)
	t.Log("\n" + result.String())
	compared := 0
	for _, s := range result.Summary {
		for _, carrier := range []string{carrierOption, carrierHeader} {
			if !slices.Contains(carriers[s.Mode], carrier) {
				assert.True(t, slices.Contains(withStatistics, s.Mode) || s.Contexts[carrier] == 0, "%s of mode %s", carrier, s.Mode)
				continue
			}
			assert.InEpsilon(t, s.Requests, s.Contexts[carrier], 0.1, "%s of mode %s", carrier, s.Mode)
		}
		if s.InjectRatio > 0 {
			compared++
		}
	}
	assert.Equal(t, 3, compared)
}

func TestMedian(t *testing.T) {
	assert.InDelta(t, 0, median(nil), 0)
	assert.InDelta(t, 2, median([]float64{3, 1, 2}), 0)
	assert.InDelta(t, 2.5, median([]float64{4, 1, 2, 3}), 0)
}
