// SPDX-License-Identifier: Apache-2.0

package causality

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// limit is what the links of a row have to reach, in percent of those expected.
type limit struct{ minRight, maxWrong float64 }

// limits are by runtime, and for JoinRow and RootRow. This is the one place to
// change them. What has a low minimum is only followed while one request is in
// flight; see KNOWN_ISSUES.md. The runs are short, so a single mistake is
// hundredths of a percent.
var limits = map[string]limit{
	"nginx": {minRight: 99.9, maxWrong: 0.1},
	// A request may send one of its own before it is known in which trace it is itself.
	"goproxy":         {minRight: 99, maxWrong: 0.05},
	"go":              {minRight: 99.8, maxWrong: 0.05},
	"go par":          {minRight: 99.8, maxWrong: 0.05},
	"go timers":       {minRight: 99.5, maxWrong: 0.05},
	"python":          {minRight: 99.9, maxWrong: 0},
	"python timers":   {minRight: 99.9, maxWrong: 0},
	"gunicorn":        {minRight: 99.9, maxWrong: 0},
	"gunicorn timers": {minRight: 99.9, maxWrong: 0},
	"spring":          {minRight: 99.9, maxWrong: 0},
	"spring timers":   {minRight: 99.9, maxWrong: 0},
	// What Node does after a timer is followed while one request is served.
	"node":           {minRight: 99, maxWrong: 0.1},
	"node par":       {minRight: 99, maxWrong: 0.1},
	"node timers":    {minRight: 55, maxWrong: 0.1},
	"express":        {minRight: 99, maxWrong: 0.1},
	"express par":    {minRight: 99, maxWrong: 0.1},
	"express timers": {minRight: 55, maxWrong: 0.1},
	// Event loops whose tasks are known.
	"aiohttp":        {minRight: 99, maxWrong: 0.1},
	"aiohttp par":    {minRight: 99, maxWrong: 0.1},
	"aiohttp timers": {minRight: 99, maxWrong: 0.1},
	"fastapi":        {minRight: 99, maxWrong: 0.1},
	"fastapi par":    {minRight: 99, maxWrong: 0.1},
	"fastapi timers": {minRight: 99, maxWrong: 0.1},
	// Connections that are opened for one request and used by another are linked.
	"rust":        {minRight: 97, maxWrong: 0.1},
	"rust par":    {minRight: 95, maxWrong: 0.1},
	"rust timers": {minRight: 97, maxWrong: 0.1},
	// An event loop that reads on before it acts, but whose streams are known.
	"haproxy": {minRight: 99, maxWrong: 0.1},
	// Work handed to thread pools, whose work items are known,
	"python par":   {minRight: 99, maxWrong: 0.1},
	"gunicorn par": {minRight: 99, maxWrong: 0.1},
	// or are objects whose makers are known, until a collection moves them.
	"java":        {minRight: 99, maxWrong: 0.1},
	"java par":    {minRight: 99, maxWrong: 0.1},
	"java timers": {minRight: 99, maxWrong: 0.1},
	"spring par":  {minRight: 96, maxWrong: 0.1},
	// Words of the stack that have to be learned, for each of its heights.
	"okhttp":     {minRight: 93, maxWrong: 0.1},
	"okhttp par": {minRight: 97, maxWrong: 0.1},
	// Event loops that do several requests' work before they sleep. What they are given is not known.
	"apache":     {minRight: 10, maxWrong: 0.1},
	"apache par": {minRight: 10, maxWrong: 0.1},
	"netty":      {minRight: 10, maxWrong: 0.1},
	"netty par":  {minRight: 10, maxWrong: 0.1},
	// One thread reads, another one serves, which has the connection in its stack, and starts
	// threads that run its blocks.
	"puma":        {minRight: 99, maxWrong: 0.1},
	"puma timers": {minRight: 99, maxWrong: 0.1},
	"puma par":    {minRight: 99, maxWrong: 0.1},
	JoinRow:       {minRight: 99.9, maxWrong: 0.01},
	RootRow:       {minRight: 100, maxWrong: 0},
}

// Limits of the run as a whole: traces in which two requests met, in percent of
// the requests (the aim is 0), and spans that were not reported, in percent of the spans.
const maxMerged, maxNotSeen = 0.05, 0.1

// TestCausality runs every scenario on every capture backend.
//
// CAUSALITY_SCENARIOS, a regular expression, selects scenarios; CAUSALITY_REQUESTS
// is the number of requests of each run; CAUSALITY_REPORT names a directory for the
// tables, as Markdown and JSON.
func TestCausality(t *testing.T) {
	groundtruth.Requirements(t, "nginx", "haproxy", "puma", "node", "npm", "python3", "javac", "mvn", "cargo")
	requests := 0
	if n := os.Getenv("CAUSALITY_REQUESTS"); n != "" {
		var err error
		requests, err = strconv.Atoi(n)
		require.NoError(t, err, "CAUSALITY_REQUESTS")
	}
	for _, hooks := range []string{"sock", "sys_exit"} {
		t.Run(hooks, func(t *testing.T) {
			result, err := Run(t.Context(), Options{
				Scenarios: os.Getenv("CAUSALITY_SCENARIOS"), Concurrency: []int{1, 16, 64}, Requests: requests, Hooks: hooks, Seed: 1, Dir: t.TempDir(), Log: t.Logf,
			})
			require.NoError(t, err)
			t.Logf("\n%s", result)
			publish(t, result, hooks)
			for _, m := range judge(result) {
				t.Error(m)
			}
		})
	}
}

// judge tells which limits a run missed.
func judge(r *Result) (missed []string) {
	miss := func(format string, args ...any) { missed = append(missed, fmt.Sprintf(format, args...)) }
	most := func(what string, n, of int, limit float64) bool {
		percent := 100 * float64(n) / float64(max(of, 1))
		if percent > limit {
			miss("%s: %d of %d, %.3f %%, and at most %v %% may be", what, n, of, percent, limit)
		}
		return percent <= limit
	}
	total := r.Total()
	most("requests that failed", total.Failed, total.Requests, 0)
	most("spans nobody caused", total.Unexpected+r.Strangers, total.Spans, 0)
	most("spans not reported", total.NotSeen, total.Spans, maxNotSeen)
	if !most("traces merged", total.Merged, total.Requests, maxMerged) {
		miss("%s", r.Explain(1, regexp.MustCompile("^wrong")))
	}
	for _, name := range r.rowNames() {
		row := r.Rows[name]
		l, ok := limits[name]
		if !ok {
			miss("%s: has no limits", name)
			continue
		}
		good := most(name+": wrong", row.Wrong, row.Expected, l.maxWrong)
		if right := row.percent(row.Right); right < l.minRight {
			miss("%s: %.2f %% right, and at least %v %% must be", name, right, l.minRight)
			good = false
		}
		if !good {
			miss("%s", r.Explain(1, regexp.MustCompile(" "+name+"$")))
		}
	}
	return missed
}

func publish(t *testing.T, r *Result, name string) {
	dir := os.Getenv("CAUSALITY_REPORT")
	if dir == "" {
		return
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	b, err := json.MarshalIndent(r, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, name+".json"), append(b, '\n'), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name+".md"), []byte(r.String()), 0o644))
}
