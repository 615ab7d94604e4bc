// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// suite is what the cases of one collector run share.
type suite struct {
	t         *testing.T
	dir       string
	peer      string // the compiled workloads/peer.c
	book      *groundtruth.Book
	sink      *groundtruth.Sink
	collector *groundtruth.Collector
	cases     []*workload
	// fake reports the truth itself instead of running a collector.
	fake bool
}

// workload makes the traffic of one case.
type workload struct {
	name string
	// before runs before the collector starts; what it returns runs after.
	before func(s *suite, name string) (func() error, error)
	run    func(s *suite, name string) error
	// optionalBefore makes everything that began before the collector was
	// ready optional.
	optionalBefore bool
	// optional says which records need not be found (but must be right if they
	// are).
	optional func(r *groundtruth.Record) bool
}

func newSuite(t *testing.T) *suite {
	s := &suite{t: t, dir: t.TempDir(), book: &groundtruth.Book{}}
	s.peer = filepath.Join(s.dir, "peer")
	require.NoError(t, groundtruth.Compile("peer.c", s.peer, "-luring"))
	var err error
	s.sink, err = groundtruth.NewSink()
	require.NoError(t, err)
	t.Cleanup(s.sink.Close)
	return s
}

// start runs a collector that exports to the suite's sink and waits for it.
func (s *suite) start(o groundtruth.CollectorOptions) {
	s.t.Helper()
	o.Endpoint = s.sink.Endpoint()
	o.Dir = filepath.Join(s.dir, "collector")
	require.NoError(s.t, os.MkdirAll(o.Dir, 0o755))
	var err error
	s.collector, err = groundtruth.StartCollector(o)
	require.NoError(s.t, err)
	stopped := false
	s.t.Cleanup(func() {
		if !stopped {
			stopped = true
			if err := s.collector.Stop(); err != nil {
				s.t.Error(err)
			}
		}
	})
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(s.t, s.sink.WaitReady(ctx, s.collector))
	s.t.Logf("collector ready %d ms after its start", s.collector.ReadyAt.Sub(s.collector.Started).Milliseconds())
}

// subdir makes a directory for a case.
func (s *suite) subdir(name string) string {
	d := filepath.Join(s.dir, name)
	require.NoError(s.t, os.MkdirAll(d, 0o755))
	return d
}

// runAll makes the traffic of all selected cases, with the collector started
// between the befores and the runs, and checks every one of them.
func (s *suite) runAll(o groundtruth.CollectorOptions) {
	var only *regexp.Regexp
	if pattern := os.Getenv("E2E_CASES"); pattern != "" {
		only = regexp.MustCompile(pattern)
	}
	failed := make(map[string]error)
	after := make(map[string]func() error)
	var selected []*workload
	for _, c := range s.cases {
		if only != nil && !only.MatchString(c.name) {
			continue
		}
		selected = append(selected, c)
		if c.before != nil {
			var err error
			if after[c.name], err = c.before(s, c.name); err != nil {
				failed[c.name] = err
			}
		}
	}
	if !s.fake {
		s.start(o)
	}
	slow := 2 * time.Second
	for _, c := range selected {
		if failed[c.name] != nil {
			continue
		}
		begin := time.Now()
		run := after[c.name]
		if c.run != nil {
			run = func() error { return c.run(s, c.name) }
		}
		if err := run(); err != nil {
			failed[c.name] = err
		}
		if d := time.Since(begin); d > slow {
			s.t.Logf("case %s took %s", c.name, d.Round(100*time.Millisecond))
		}
	}
	for _, c := range selected {
		if c.optionalBefore && !s.fake {
			s.forgive(c.name)
		}
		if c.optional != nil && !s.fake {
			for _, r := range s.book.Records(c.name) {
				r.Optional = r.Optional || c.optional(r)
			}
		}
	}
	if s.fake {
		require.NoError(s.t, groundtruth.Send(s.t.Context(), s.sink.Endpoint(), groundtruth.Fake(s.book.Records(""))))
	}
	report := s.settle()
	s.publish(report)
	if !s.fake && only == nil {
		s.checkJoins()
	}
	for _, c := range selected {
		s.t.Run(c.name, func(t *testing.T) {
			require.NoError(t, failed[c.name], "the workload itself")
			r := report.Case(c.name)
			require.NotZero(t, r.Expected+boolInt(c.name == malformed), "the workload recorded nothing")
			if r.Wrong() > 0 {
				t.Errorf("recall %.2f %%, %d wrong\n%s", r.Recall(), r.Wrong(), r.Details(5))
			}
			delete(report.Cases, c.name)
		})
	}
	for _, n := range report.Names() { // charged to no case of ours
		if r := report.Cases[n]; r.Wrong() > 0 {
			s.t.Errorf("%s:\n%s", n, r.Details(10))
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// forgive makes records of a case optional that began before the collector
// was ready; the server's are judged by their client's.
func (s *suite) forgive(name string) {
	early := make(map[string]bool)
	records := s.book.Records(name)
	for _, r := range records {
		if r.StartMin != 0 && r.StartMin < s.collector.ReadyAt.UnixNano() {
			early[r.ID] = true
		}
	}
	for _, r := range records {
		r.Optional = early[r.ID]
	}
}

// settle waits until everything has come, or nothing more comes.
func (s *suite) settle() *groundtruth.Report {
	var report *groundtruth.Report
	count, quiet := -1, time.Now()
	for {
		time.Sleep(300 * time.Millisecond)
		if n := s.sink.Count(); n != count {
			count, quiet = n, time.Now()
			continue
		}
		report = groundtruth.Check(s.book, s.sink.Spans(), groundtruth.DefaultTolerances)
		missing := 0
		for _, c := range report.Cases {
			missing += len(c.Missing)
		}
		if missing == 0 && time.Since(quiet) > time.Second || time.Since(quiet) > 4*time.Second {
			return report
		}
	}
}

func (s *suite) publish(report *groundtruth.Report) {
	text := s.t.Name() + "\n" + report.String()
	if s.fake {
		s.t.Log("\n" + text)
		return
	}
	if telemetry, err := s.collector.Telemetry(s.t.Context()); err == nil {
		text += strings.Join(groundtruth.Losses(telemetry), "\n") + "\n"
	} else {
		s.t.Logf("collector telemetry: %v", err)
	}
	s.t.Log("\n" + text)
	if name := os.Getenv("E2E_REPORT"); name != "" {
		f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		require.NoError(s.t, err)
		defer f.Close()
		_, err = f.WriteString(text + "\n")
		require.NoError(s.t, err)
		for _, n := range report.Names() {
			if r := report.Cases[n]; r.Wrong() > 0 {
				_, err = f.WriteString(n + "\n" + r.Details(5))
				require.NoError(s.t, err)
			}
		}
	}
}
