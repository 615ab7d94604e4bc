// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// TestMetrics compares the RED metrics of programs with names of their own with
// the truth, and checks that nothing stays in flight.
func TestMetrics(t *testing.T) {
	for _, hooks := range []string{"sock", "sys_exit"} {
		t.Run(hooks, func(t *testing.T) {
			groundtruth.Requirements(t, "gcc")
			s := newSuite(t)
			// Name the processes, to find their series (within TASK_COMM_LEN:
			// that may be all that is left of one that lived for a moment).
			binary := filepath.Join(s.dir, "metered-"+strings.ReplaceAll(hooks, "sys_", ""))
			require.NoError(t, exec.Command("cp", s.peer, binary).Run())
			s.start(groundtruth.CollectorOptions{Hooks: hooks})
			for i, traffic := range [][2]string{
				{"", "--count 50 --query size=100"},
				{"", "--count 30 --method POST --body 500 --query status=201&size=10"},
				{"--handoff fork", "--count 20 --per-conn 5 --query status=404&size=10"},
				{"", "--count 10 --query status=503&size=10"},
				{"", "--count 60 --pipeline 20"},
				{"", "--count 8 --method FROB"},
				{"", "--count 6 --query act=close"},
				{"", "--count 4 --end giveup --wait 5000 --query delay=20000"},
				{"", "--count 12 --version 1.0 --per-conn 1"},
				{"", "--count 3 --query act=upgrade"},
			} {
				require.NoError(t, runPeers(s, binary, fmt.Sprintf("metrics-%d", i), traffic[0], traffic[1]))
			}
			for _, role := range []groundtruth.Role{groundtruth.Server, groundtruth.Client} {
				t.Run(string(role), func(t *testing.T) { compareCounts(t, s, filepath.Base(binary), role) })
			}
			t.Run("active", func(t *testing.T) {
				require.Eventually(t, func() bool { return active(s, filepath.Base(binary)) == 0 }, 5*time.Second, 200*time.Millisecond,
					"http.server.active_requests stays at %v", active(s, filepath.Base(binary)))
				assert.NotEmpty(t, s.sink.Points("http.server.active_requests"))
			})
		})
	}
}

func belongsTo(p *groundtruth.Point, program string) bool {
	for _, v := range p.Resource {
		if text, ok := v.(string); ok && strings.Contains(text, program) {
			return true
		}
	}
	return false
}

func compareCounts(t *testing.T, s *suite, program string, role groundtruth.Role) {
	want := make(map[string]uint64)
	for _, r := range s.book.Records("") {
		if r.Role != role {
			continue
		}
		method := r.Method
		if method == "FROB" {
			method = "_OTHER"
		}
		want[fmt.Sprintf("%s %d error=%t", method, r.Status, r.Error || r.Status >= 500 || role == groundtruth.Client && r.Status >= 400)]++
	}
	counts := func() map[string]uint64 {
		got := make(map[string]uint64)
		for _, p := range s.sink.Points("http." + string(role) + ".request.duration") {
			if !belongsTo(p, program) {
				continue
			}
			status, _ := p.Attributes["http.response.status_code"].(int64)
			_, failed := p.Attributes["error.type"]
			got[fmt.Sprintf("%v %d error=%t", p.Attributes["http.request.method"], status, failed)] += p.Count
		}
		return got
	}
	deadline := time.Now().Add(6 * time.Second)
	for !assert.ObjectsAreEqual(want, counts()) && time.Now().Before(deadline) {
		time.Sleep(200 * time.Millisecond)
	}
	if !assert.Equal(t, want, counts()) {
		for _, p := range s.sink.Points("http." + string(role) + ".request.duration") {
			t.Logf("count %d %v of %v", p.Count, p.Attributes, p.Resource)
		}
	}
	for _, p := range s.sink.Points("http." + string(role) + ".request.duration") {
		assert.Equal(t, "s", p.Unit)
	}
}

func active(s *suite, program string) float64 {
	total := 0.0
	for _, p := range s.sink.Points("http.server.active_requests") {
		if belongsTo(p, program) {
			total += p.Value
		}
	}
	return total
}
