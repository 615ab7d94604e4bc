// SPDX-License-Identifier: Apache-2.0

package route

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// tree is a trie by path segments. A node of the trie is visited at most once
// per match (its depth is the segment's position), so matching is bounded by
// the patterns, not by the path.
type tree struct {
	static map[string]*tree
	mixed  []mixed // more text first
	param  *tree   // {x}, :x
	star   *tree   // * in the middle
	leaf   string  // the pattern that ends here
	rest   string  // the pattern that takes everything below here
}

// mixed is a segment with one wildcard and text around it.
type mixed struct {
	prefix, suffix string
	next           *tree
}

func compile(where string, patterns []string) (*tree, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	root := &tree{}
	for i, p := range patterns {
		if err := root.insert(fmt.Sprintf("%s[%d]", where, i), p); err != nil {
			return nil, err
		}
	}
	return root, nil
}

// kind of a pattern's segment.
type kind uint8

const (
	kindStatic kind = iota
	kindMixed
	kindParam
	kindStar
	kindRest
)

func (t *tree) insert(where, pattern string) error {
	switch {
	case pattern == "":
		return fmt.Errorf("%s: the pattern is empty: remove it, or write \"/\" for the root path", where)
	case pattern[0] != '/':
		return fmt.Errorf("%s: %q does not begin with a slash: write %q", where, pattern, "/"+pattern)
	case strings.ContainsAny(pattern, "?#"):
		return fmt.Errorf("%s: %q has a query or fragment, which routes do not look at: write %q", where, pattern,
			pattern[:strings.IndexAny(pattern, "?#")])
	}
	segments := strings.Split(pattern[1:], "/")
	if len(segments) > 1 && segments[len(segments)-1] == "" {
		segments = segments[:len(segments)-1] // a trailing slash
	}
	n := t
	for i, s := range segments {
		last := i == len(segments)-1
		if s == "" && len(segments) > 1 {
			return fmt.Errorf("%s: %q has an empty segment: write single slashes, as in %q", where, pattern, squeeze(pattern))
		}
		k, prefix, suffix, err := parse(s, last)
		if err != nil {
			return fmt.Errorf("%s: %q: %w", where, pattern, err)
		}
		switch k {
		case kindStatic:
			if s == "" { // the root path
				break
			}
			if n.static == nil {
				n.static = map[string]*tree{}
			}
			if n.static[s] == nil {
				n.static[s] = &tree{}
			}
			n = n.static[s]
		case kindMixed:
			n = n.addMixed(prefix, suffix)
		case kindParam:
			if n.param == nil {
				n.param = &tree{}
			}
			n = n.param
		case kindStar:
			if n.star == nil {
				n.star = &tree{}
			}
			n = n.star
		case kindRest:
			return claim(where, &n.rest, pattern)
		}
	}
	return claim(where, &n.leaf, pattern)
}

// claim sets the pattern of an end, of which there can be only one. The same
// text twice does no harm.
func claim(where string, end *string, pattern string) error {
	if *end != "" && *end != pattern {
		return fmt.Errorf("%s: %q matches the same paths as %q: keep one of them", where, pattern, *end)
	}
	*end = pattern
	return nil
}

func (t *tree) addMixed(prefix, suffix string) *tree {
	for _, m := range t.mixed {
		if m.prefix == prefix && m.suffix == suffix {
			return m.next
		}
	}
	m := mixed{prefix: prefix, suffix: suffix, next: &tree{}}
	t.mixed = append(t.mixed, m)
	slices.SortStableFunc(t.mixed, func(a, b mixed) int {
		if d := len(b.prefix) + len(b.suffix) - len(a.prefix) - len(a.suffix); d != 0 {
			return d
		}
		return strings.Compare(a.prefix+"\x00"+a.suffix, b.prefix+"\x00"+b.suffix)
	})
	return m.next
}

// parse reads one segment of a pattern. The error is a clause that says what
// to write instead.
func parse(s string, last bool) (k kind, prefix, suffix string, err error) {
	switch {
	case s == "*" && last, s == "**" && last:
		return kindRest, "", "", nil
	case s == "*":
		return kindStar, "", "", nil
	case s == "**":
		return 0, "", "", fmt.Errorf("** takes all the rest and can only stand at the end: write * for one segment")
	case strings.HasPrefix(s, ":"):
		if s == ":" {
			return 0, "", "", fmt.Errorf("the parameter has no name: write :id or {id}")
		}
		return kindParam, "", "", nil
	}
	open, star := strings.IndexByte(s, '{'), strings.IndexByte(s, '*')
	switch {
	case open < 0 && star < 0:
		if strings.IndexByte(s, '}') >= 0 {
			return 0, "", "", fmt.Errorf("the brace } was never opened: write {id}")
		}
		return kindStatic, "", "", nil
	case open >= 0:
		end := strings.IndexByte(s, '}')
		if end < open {
			return 0, "", "", fmt.Errorf("the brace { is not closed in its segment: write {id}")
		}
		name := s[open+1 : end]
		prefix, suffix = s[:open], s[end+1:]
		rest, greedy := strings.CutSuffix(name, "...")
		switch {
		case rest == "" || strings.ContainsAny(rest, "{$*"):
			return 0, "", "", fmt.Errorf("{%s} is not a parameter: give it a name, as in {id}", name)
		case strings.ContainsAny(prefix+suffix, "{}*"):
			return 0, "", "", fmt.Errorf("the segment %q has more than one wildcard: write {id} for the whole segment", s)
		case greedy && (!last || prefix != "" || suffix != ""):
			return 0, "", "", fmt.Errorf("{%s} takes all the rest and can only stand alone at the end: write {%s}", name, rest)
		case greedy:
			return kindRest, "", "", nil
		case prefix == "" && suffix == "":
			return kindParam, "", "", nil
		}
	default:
		prefix, suffix = s[:star], s[star+1:]
		if strings.ContainsAny(suffix, "*}") || strings.IndexByte(prefix, '}') >= 0 {
			return 0, "", "", fmt.Errorf("the segment %q has more than one wildcard: write * for the whole segment", s)
		}
	}
	return kindMixed, prefix, suffix, nil
}

func squeeze(s string) string {
	for strings.Contains(s, "//") {
		s = strings.ReplaceAll(s, "//", "/")
	}
	return s
}

// match finds the pattern for a path, "" if there is none.
func (t *tree) match(path []byte) string {
	if len(path) == 0 || path[0] != '/' {
		return ""
	}
	return t.find(path)
}

// find matches rest, which is empty or begins with the slash before the next
// segment.
func (t *tree) find(rest []byte) string {
	if len(rest) <= 1 { // the end, or one trailing slash
		if len(rest) == 1 && t.rest != "" && t.leaf == "" {
			return t.rest
		}
		return t.leaf
	}
	segment := rest[1:]
	rest = nil
	if i := bytes.IndexByte(segment, '/'); i >= 0 {
		segment, rest = segment[:i], segment[i:]
	}
	if next := t.static[string(segment)]; next != nil {
		if p := next.find(rest); p != "" {
			return p
		}
	}
	for i := range t.mixed {
		m := &t.mixed[i]
		if len(segment) > len(m.prefix)+len(m.suffix) &&
			string(segment[:len(m.prefix)]) == m.prefix && string(segment[len(segment)-len(m.suffix):]) == m.suffix {
			if p := m.next.find(rest); p != "" {
				return p
			}
		}
	}
	if t.param != nil && len(segment) > 0 {
		if p := t.param.find(rest); p != "" {
			return p
		}
	}
	if t.star != nil && len(segment) > 0 {
		if p := t.star.find(rest); p != "" {
			return p
		}
	}
	return t.rest
}
