// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// TestGroundTruth runs every case on every capture backend.
func TestGroundTruth(t *testing.T) {
	for _, hooks := range []string{"sock", "sys_exit"} {
		t.Run(hooks, func(t *testing.T) {
			groundtruth.Requirements(t, "gcc", "nginx", "curl", "node", "python3")
			s := newSuite(t)
			s.cases = allCases()
			s.runAll(groundtruth.CollectorOptions{Hooks: hooks})
		})
	}
}

func allCases() []*workload {
	var out []*workload
	out = append(out, existingCases()...) // first, or they run all the time
	out = append(out, peerCases()...)
	out = append(out, goCases()...)
	out = append(out, languageCases()...)
	out = append(out, nginxCases()...)
	return append(out, &workload{name: malformed, run: runMalformed}, &workload{name: paced, run: runPaced})
}

// TestWorkloads runs the workloads without a collector, which needs no
// privilege, and checks that the truth agrees with itself: that both sides of
// every request were written down. It tests the tests: E2E_SELF=1.
func TestWorkloads(t *testing.T) {
	if os.Getenv("E2E_SELF") == "" {
		t.Skip("a test of the tests: set E2E_SELF=1")
	}
	s := newSuite(t)
	s.fake = true
	s.cases = allCases()
	s.runAll(groundtruth.CollectorOptions{})
	sides := make(map[string]int)
	failed := make(map[string]bool)
	for _, r := range s.book.Records("") {
		failed[r.Case+"/"+r.ID] = failed[r.Case+"/"+r.ID] || r.Anonymous || r.Error
		side := -1
		if r.Role == groundtruth.Client {
			side = 1
		}
		sides[r.Case+"/"+r.ID] += side
	}
	for id, balance := range sides {
		if balance != 0 && !failed[id] {
			t.Errorf("%s: one side is missing", id)
		}
	}
}
