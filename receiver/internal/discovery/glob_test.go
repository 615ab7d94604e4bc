// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGlobMatch(t *testing.T) {
	for _, test := range []struct {
		pattern string
		yes, no []string
	}{
		{"", []string{""}, []string{"a"}},
		{"*", []string{"", "a", "/usr/bin/x", "ü\n"}, nil},
		{"*/checkout", []string{"/checkout", "/a/b/checkout"}, []string{"checkout", "/checkout2", "/checkout/x"}},
		{"/usr/*/nginx", []string{"/usr/sbin/nginx", "/usr/local/sbin/nginx"}, []string{"/usr/nginx"}},
		{"a?c", []string{"abc", "aüc"}, []string{"ac", "abbc"}},
		{"*python3.[0-9]*", []string{"/bin/python3.11"}, []string{"/bin/python3."}},
		{"[!a-c]x", []string{"dx"}, []string{"ax", "x"}},
		{"[^a-c]x", []string{"dx"}, []string{"bx"}},
		{"[]a]", []string{"]", "a"}, []string{"b"}},
		{"[a-]", []string{"a", "-"}, []string{"b"}},
		{`[\]]`, []string{"]"}, []string{`\`}},
		{`\*x`, []string{"*x"}, []string{"ax"}},
		{"a*b*c", []string{"abc", "aXbYbZc"}, []string{"ab", "acb"}},
		{"**", []string{"", "x"}, nil},
	} {
		g, err := CompileGlob(test.pattern)
		require.NoError(t, err, test.pattern)
		assert.Equal(t, test.pattern, g.String())
		for _, s := range test.yes {
			assert.True(t, g.Match(s), "%q should match %q", test.pattern, s)
		}
		for _, s := range test.no {
			assert.False(t, g.Match(s), "%q should not match %q", test.pattern, s)
		}
	}
}

func TestGlobErrors(t *testing.T) {
	for pattern, mend := range map[string]string{
		"a[":    "close it",
		"[]":    "close it",
		"[a-":   "close it",
		`[\`:    "close it",
		"[z-a]": "write a-z",
		`abc\`:  "backslash",
	} {
		_, err := CompileGlob(pattern)
		require.Error(t, err, pattern)
		assert.Contains(t, err.Error(), mend)
	}
}

// A pattern with many stars must not take exponential time.
func TestGlobPathological(t *testing.T) {
	g, err := CompileGlob(strings.Repeat("a*", 50) + "b")
	require.NoError(t, err)
	start := time.Now()
	assert.False(t, g.Match(strings.Repeat("a", 5000)))
	assert.Less(t, time.Since(start), 5*time.Second)
}

func FuzzGlob(f *testing.F) {
	f.Add("*/a[b-c]?", "/x/abd")
	f.Add("[!\xff]*\\", "\xff")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		g, err := CompileGlob(pattern)
		if err != nil {
			return
		}
		g.Match(s)
		star, err := CompileGlob("*" + pattern + "*")
		if err == nil && g.Match(s) {
			assert.True(t, star.Match(s))
		}
	})
}
