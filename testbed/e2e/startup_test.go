// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// attempts at a timing: the machine may be busy.
const attempts = 4

// TestFirstSpan measures how long after its start the collector has seen its
// first request.
func TestFirstSpan(t *testing.T) {
	groundtruth.Requirements(t, "gcc")
	best := time.Hour
	for range attempts {
		t.Run("attempt", func(t *testing.T) {
			s := newSuite(t)
			s.cases = existingCases()[:1]
			after, err := s.cases[0].before(s, s.cases[0].name)
			require.NoError(t, err)
			s.start(groundtruth.CollectorOptions{})
			require.NoError(t, after())
			for _, sp := range s.sink.Spans() {
				best = min(best, time.Duration(sp.Start-s.collector.Started.UnixNano()))
			}
		})
		if best < time.Second {
			break
		}
	}
	t.Logf("first request seen %d ms after the collector's start", best.Milliseconds())
	assert.Less(t, best, time.Second)
}

// TestNewProcess measures how long a new process runs before its requests are
// seen, with the default discovery and with a rule that has to match first.
func TestNewProcess(t *testing.T) {
	for name, receiver := range map[string]string{
		"default": "",
		"rule":    "discovery:\n  include:\n    - exe: \"*/newcomer\"\n    - exe: \"*/e2e.test\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			groundtruth.Requirements(t, "gcc")
			s := newSuite(t)
			binary := filepath.Join(s.dir, "newcomer")
			require.NoError(t, exec.Command("cp", s.peer, binary).Run())
			s.start(groundtruth.CollectorOptions{Receiver: receiver})
			worst := time.Duration(0)
			for i := range attempts {
				name := fmt.Sprintf("newcomer-%d", i)
				require.NoError(t, runPeers(s, binary, name, "", "--count 100 --interval 2000"))
				worst = max(worst, s.delay(t, name))
			}
			t.Logf("requests of a new process seen after %s at most", worst.Round(100*time.Microsecond))
			assert.Less(t, worst, 100*time.Millisecond)
		})
	}
}

// delay is the time from a client's first request to the first one seen on the
// client's side: it is sent as soon as the process runs.
func (s *suite) delay(t *testing.T, name string) time.Duration {
	var first int64
	last := ""
	for _, r := range s.book.Records(name) {
		if r.Role == groundtruth.Client && (first == 0 || r.StartMin < first) {
			first = r.StartMin
		}
		last = max(last, r.Path)
	}
	client := func(sp *groundtruth.Span) bool { return sp.Kind == ptrace.SpanKindClient }
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := s.sink.Find(ctx, func(sp *groundtruth.Span) bool { return client(sp) && sp.Path() == last })
	require.NoError(t, err, "the last request, %s", last)
	seen := int64(0)
	for _, sp := range s.sink.Spans() {
		if of, _, _ := groundtruth.ParsePath(sp.Path()); client(sp) && of == name && (seen == 0 || sp.Start < seen) {
			seen = sp.Start
		}
	}
	return time.Duration(seen - first)
}
