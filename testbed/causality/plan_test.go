// SPDX-License-Identifier: Apache-2.0

package causality

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/causality/services/go/plan"
)

// A service that obeys the paths makes exactly the requests of the tree.
func TestPlan(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, s := range Scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			peers := make(map[string]string)
			for _, name := range s.Services() {
				require.Contains(t, programs, runtimeOf(name))
				peers[name] = name
			}
			request := newRequest(s, "1", random)
			var want, got []string
			for _, h := range s.Hops() {
				want = append(want, h.Service+request.Path(h.Node))
			}
			var follow func(url string)
			follow = func(url string) {
				got = append(got, url)
				service, path, _ := strings.Cut(url, "/")
				task, err := plan.Parse("/"+path, peers)
				require.NoError(t, err)
				require.Equal(t, request.Out, task.Out)
				for _, step := range task.Steps {
					for _, c := range step {
						require.True(t, c.Delay == 0 || waits(service), "%s cannot wait", service)
						if c.URL != "" {
							require.Equal(t, request.In, c.In)
							follow(strings.TrimPrefix(c.URL, "http://"))
						}
					}
				}
			}
			follow(s.Root.Service + request.Path("0"))
			require.Equal(t, want, got)
		})
	}
}

func TestScenarioNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range Scenarios() {
		require.False(t, seen[s.Name], s.Name)
		require.NotContains(t, s.Name, "/")
		seen[s.Name] = true
	}
}

func TestParsePath(t *testing.T) {
	scenario, id, node, ok := parsePath("/go-seq/c1-1/0.1/0-20/0=go")
	require.True(t, ok)
	require.Equal(t, []string{"go-seq", "c1-1", "0.1"}, []string{scenario, id, node})
	for _, path := range []string{"", "/", "/metrics", "/a/b/c/d", "x/go-seq/c1-1/0.1/0-20/0=go"} {
		_, _, _, ok = parsePath(path)
		require.False(t, ok, path)
	}
}
