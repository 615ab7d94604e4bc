// SPDX-License-Identifier: Apache-2.0

package route

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func mustNew(t testing.TB, o Options) *Matcher {
	t.Helper()
	m, err := New(o)
	require.NoError(t, err)
	return m
}

func TestMatch(t *testing.T) {
	m := mustNew(t, Options{Patterns: []string{
		"/",
		"/api/users/{id}",
		"/api/users/me",
		"/api/users/{name}/posts",
		"/api/orders/{orderId}/items/{itemId}",
		"/a/:id/b",
		"/a/*/c",
		"/static/*",
		"/static/app.js",
		"/files/*.png",
		"/files/thumb-*.png",
		"/files/{name}",
		"/v{n}/x",
		"/deep/{x}/end",
		"/deep/known/other",
		"/all/{path...}",
		"/trailing/",
	}})
	for path, want := range map[string]string{
		"/":                         "/",
		"/api/users/42":             "/api/users/{id}",
		"/api/users/42/":            "/api/users/{id}",
		"/api/users/me":             "/api/users/me",
		"/api/users/me/posts":       "/api/users/{name}/posts", // backtracks out of the static segment
		"/api/users":                "",
		"/api/users/":               "",
		"/api/users/1/2":            "",
		"/api/orders/1/items/2":     "/api/orders/{orderId}/items/{itemId}",
		"/api/orders/1/items":       "",
		"/a/1/b":                    "/a/:id/b",
		"/a/1/c":                    "/a/*/c",
		"/a//b":                     "",
		"/static":                   "",
		"/static/":                  "/static/*",
		"/static/x/y/z.css":         "/static/*",
		"/static/app.js":            "/static/app.js",
		"/static/app.js/x":          "/static/*",
		"/files/a.png":              "/files/*.png",
		"/files/thumb-1.png":        "/files/thumb-*.png",
		"/files/.png":               "/files/{name}",
		"/files/a.gif":              "/files/{name}",
		"/v2/x":                     "/v{n}/x",
		"/v/x":                      "",
		"/deep/known/end":           "/deep/{x}/end",
		"/deep/known/other":         "/deep/known/other",
		"/all/1/2/3":                "/all/{path...}",
		"/trailing":                 "/trailing/",
		"/trailing/":                "/trailing/",
		"/API/users/42":             "",
		"":                          "",
		"*":                         "",
		"api/users/42":              "",
		"//":                        "",
		"/\xff/\x00":                "",
		"/api/users/\xff\xfe":       "/api/users/{id}",
		"/api/users/" + long("a"):   "/api/users/{id}",
		"/static/" + long("/"):      "/static/*",
		"/api/orders/1/items/2/../": "",
	} {
		require.Equal(t, want, m.Match([]byte(path)), "path %q", path)
	}
	require.Equal(t, "", (*Matcher)(nil).Match([]byte("/x")))
	require.Equal(t, "", mustNew(t, Options{}).Match([]byte("/x")))
}

func long(s string) string { return fmt.Sprintf("%s%0*d", s, 8000, 0) }

func TestOrderOfPatternsDoesNotMatter(t *testing.T) {
	patterns := []string{"/{a}/x", "/b/{c}", "/*/x", "/**", "/b*/x", "/b/x"}
	paths := []string{"/b/x", "/b/y", "/bb/x", "/q/x", "/q/y", "/b/x/z"}
	var want []string
	for i := range patterns {
		rotated := append(append([]string{}, patterns[i:]...), patterns[:i]...)
		m := mustNew(t, Options{Patterns: rotated})
		var got []string
		for _, p := range paths {
			got = append(got, m.Match([]byte(p)))
		}
		if want == nil {
			want = got
		}
		require.Equal(t, want, got)
	}
	require.Equal(t, []string{"/b/x", "/b/{c}", "/b*/x", "/{a}/x", "/**", "/**"}, want)
}

func TestIgnored(t *testing.T) {
	for mode, want := range map[IgnoreMode][2]bool{IgnoreAll: {true, true}, IgnoreTraces: {true, false}, IgnoreMetrics: {false, true}} {
		m := mustNew(t, Options{Ignored: []string{"/health", "/internal/*", "/ready*"}, IgnoreMode: mode})
		for _, p := range []string{"/health", "/health/", "/internal/x/y", "/readyz"} {
			traces, metrics := m.Ignored([]byte(p))
			require.Equal(t, want, [2]bool{traces, metrics}, p)
		}
		for _, p := range []string{"/healthy", "/", "/internal", "", "*"} {
			traces, metrics := m.Ignored([]byte(p))
			require.Equal(t, [2]bool{}, [2]bool{traces, metrics}, p)
		}
	}
	traces, metrics := (*Matcher)(nil).Ignored([]byte("/health"))
	require.False(t, traces || metrics)
}

func TestErrorsNameThePatternAndTheMend(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		want     string
	}{
		{[]string{""}, `routes.patterns[0]: the pattern is empty: remove it, or write "/" for the root path`},
		{[]string{"/ok", "api/x"}, `routes.patterns[1]: "api/x" does not begin with a slash: write "/api/x"`},
		{[]string{"/a?b=c"}, `routes.patterns[0]: "/a?b=c" has a query or fragment, which routes do not look at: write "/a"`},
		{[]string{"/a//b"}, `routes.patterns[0]: "/a//b" has an empty segment: write single slashes, as in "/a/b"`},
		{[]string{"/a/**/b"}, `routes.patterns[0]: "/a/**/b": ** takes all the rest and can only stand at the end: write * for one segment`},
		{[]string{"/a/:"}, `routes.patterns[0]: "/a/:": the parameter has no name: write :id or {id}`},
		{[]string{"/a/{}"}, `routes.patterns[0]: "/a/{}": {} is not a parameter: give it a name, as in {id}`},
		{[]string{"/a/{$}"}, `routes.patterns[0]: "/a/{$}": {$} is not a parameter: give it a name, as in {id}`},
		{[]string{"/a/{id"}, `routes.patterns[0]: "/a/{id": the brace { is not closed in its segment: write {id}`},
		{[]string{"/a/id}"}, `routes.patterns[0]: "/a/id}": the brace } was never opened: write {id}`},
		{[]string{"/a/{id}-{x}"}, `routes.patterns[0]: "/a/{id}-{x}": the segment "{id}-{x}" has more than one wildcard: write {id} for the whole segment`},
		{[]string{"/a/*x*"}, `routes.patterns[0]: "/a/*x*": the segment "*x*" has more than one wildcard: write * for the whole segment`},
		{[]string{"/a/{p...}/b"}, `routes.patterns[0]: "/a/{p...}/b": {p...} takes all the rest and can only stand alone at the end: write {p}`},
		{[]string{"/a/{id}", "/a/:user"}, `routes.patterns[1]: "/a/:user" matches the same paths as "/a/{id}": keep one of them`},
	} {
		_, err := New(Options{Patterns: c.patterns})
		require.EqualError(t, err, c.want)
	}
	_, err := New(Options{Prefix: "discovery.include[0].routes", Ignored: []string{"x"}})
	require.EqualError(t, err, `discovery.include[0].routes.ignored_patterns[0]: "x" does not begin with a slash: write "/x"`)
	_, err = New(Options{Patterns: []string{"/a", "/a"}})
	require.NoError(t, err)
	_, err = ParseUnmatched("routes.unmatched", "heuristics")
	require.EqualError(t, err, `routes.unmatched: "heuristics" is not known: use heuristic, wildcard, path or unset`)
	_, err = ParseIgnoreMode("routes.ignore_mode", "logs")
	require.EqualError(t, err, `routes.ignore_mode: "logs" is not known: use all, traces or metrics`)
	for _, u := range []Unmatched{UnmatchedUnset, UnmatchedWildcard, UnmatchedPath, UnmatchedHeuristic} {
		got, err := ParseUnmatched("", u.String())
		require.NoError(t, err)
		require.Equal(t, u, got)
	}
	for _, u := range []IgnoreMode{IgnoreAll, IgnoreTraces, IgnoreMetrics} {
		got, err := ParseIgnoreMode("", u.String())
		require.NoError(t, err)
		require.Equal(t, u, got)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	m := mustNew(t, Options{Patterns: []string{"/api/users/{id}", "/files/*.png", "/static/*"}})
	for _, p := range []string{"/api/users/42", "/files/a.png", "/static/a/b", "/nothing/here"} {
		path := []byte(p)
		require.Zero(t, testing.AllocsPerRun(100, func() { m.Match(path) }), p)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("/api/{id}/*", "/api/1/2")
	f.Add("/{a}.png", "//")
	f.Add("/*/b", "/x/b/")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		m, err := New(Options{Patterns: []string{pattern, "/x/{y}"}})
		if err == nil {
			m.Match([]byte(path))
		}
		newLearner(4, 16, new(atomic.Int64)).Route([]byte(path), true)
	})
}

func BenchmarkMatch(b *testing.B) {
	var patterns []string
	for i := range 100 {
		patterns = append(patterns, fmt.Sprintf("/api/resource%d/{id}", i))
	}
	patterns = append(patterns, "/api/orders/{orderId}/items/{itemId}")
	m := mustNew(b, Options{Patterns: patterns})
	path := []byte("/api/orders/12345/items/678")
	b.ReportAllocs()
	for b.Loop() {
		if m.Match(path) == "" {
			b.Fatal("no match")
		}
	}
}
