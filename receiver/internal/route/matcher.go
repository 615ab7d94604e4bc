// SPDX-License-Identifier: Apache-2.0

package route

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Unmatched says what the route of a path is that no pattern matches.
type Unmatched uint8

const (
	// UnmatchedUnset: there is none, as the conventions want it.
	UnmatchedUnset Unmatched = iota
	// UnmatchedWildcard: it is Wildcard.
	UnmatchedWildcard
	// UnmatchedPath: it is the path itself. Of unbounded cardinality.
	UnmatchedPath
	// UnmatchedHeuristic: it is guessed and learned from paths; see Learner.
	UnmatchedHeuristic
)

var unmatchedNames = [...]string{"unset", "wildcard", "path", "heuristic"}

func (u Unmatched) String() string { return unmatchedNames[u] }

// ParseUnmatched reads the value of routes.unmatched; "" is unset. The error
// is one sentence that begins with prefix, the YAML path.
func ParseUnmatched(prefix, s string) (Unmatched, error) {
	if s == "" {
		return UnmatchedUnset, nil
	}
	for i, name := range unmatchedNames {
		if s == name {
			return Unmatched(i), nil
		}
	}
	return 0, fmt.Errorf("%s: %q is not known: use heuristic, wildcard, path or unset", prefix, s)
}

// IgnoreMode says which signals a path of ignored_patterns is left out of.
type IgnoreMode uint8

const (
	IgnoreAll IgnoreMode = iota
	IgnoreTraces
	IgnoreMetrics
)

var ignoreModeNames = [...]string{"all", "traces", "metrics"}

func (m IgnoreMode) String() string { return ignoreModeNames[m] }

// ParseIgnoreMode reads the value of routes.ignore_mode; "" is all. The error
// is one sentence that begins with prefix, the YAML path.
func ParseIgnoreMode(prefix, s string) (IgnoreMode, error) {
	if s == "" {
		return IgnoreAll, nil
	}
	for i, name := range ignoreModeNames {
		if s == name {
			return IgnoreMode(i), nil
		}
	}
	return 0, fmt.Errorf("%s: %q is not known: use all, traces or metrics", prefix, s)
}

// Wildcard is the route of paths without a pattern in mode wildcard.
const Wildcard = "/**"

// Options configure a Matcher.
type Options struct {
	// Prefix is the YAML path of the routes section, for error messages;
	// "routes" if empty.
	Prefix string
	// Patterns are templates to report, Ignored paths to leave out.
	Patterns, Ignored []string
	IgnoreMode        IgnoreMode
	Unmatched         Unmatched
	// MaxChildren is how many different segments may follow one learned
	// prefix before they become one "{*}"; DefaultMaxChildren if zero.
	MaxChildren int
	// MaxNodes bounds what is learned about one service instance;
	// DefaultMaxNodes if zero.
	MaxNodes int
}

// Matcher finds routes. It is immutable but for what it learns, and safe for
// concurrent use.
type Matcher struct {
	patterns, ignored *tree
	ignoreMode        IgnoreMode
	unmatched         Unmatched

	maxChildren, maxNodes int
	mu                    sync.RWMutex
	learners              map[string]*Learner
	nodes                 atomic.Int64 // of all learners
}

// New compiles patterns. The error is one sentence that names the pattern and
// the mend.
func New(o Options) (*Matcher, error) {
	if o.Prefix == "" {
		o.Prefix = "routes"
	}
	m := &Matcher{
		ignoreMode:  o.IgnoreMode,
		unmatched:   o.Unmatched,
		maxChildren: o.MaxChildren,
		maxNodes:    o.MaxNodes,
		learners:    map[string]*Learner{},
	}
	if m.maxChildren <= 0 {
		m.maxChildren = DefaultMaxChildren
	}
	if m.maxNodes <= 0 {
		m.maxNodes = DefaultMaxNodes
	}
	var err error
	if m.patterns, err = compile(o.Prefix+".patterns", o.Patterns); err != nil {
		return nil, err
	}
	if m.ignored, err = compile(o.Prefix+".ignored_patterns", o.Ignored); err != nil {
		return nil, err
	}
	return m, nil
}

// Match is the pattern that matches a path (without query), or "". It does not
// allocate. A nil Matcher has no patterns.
func (m *Matcher) Match(path []byte) string {
	if m == nil || m.patterns == nil {
		return ""
	}
	return m.patterns.match(path)
}

// Ignored reports which signals the path is left out of.
func (m *Matcher) Ignored(path []byte) (traces, metrics bool) {
	if m == nil || m.ignored == nil || m.ignored.match(path) == "" {
		return false, false
	}
	return m.ignoreMode != IgnoreMetrics, m.ignoreMode != IgnoreTraces
}

// Unmatched is what to report for paths that Match has no pattern for.
func (m *Matcher) Unmatched() Unmatched {
	if m == nil {
		return UnmatchedUnset
	}
	return m.unmatched
}

// maxLearners bounds the number of instances learned about. Beyond it new
// instances share one learner.
const maxLearners = 4096

// Learner is what was learned of the paths of one service instance. Keep the
// pointer: finding it takes a lock.
func (m *Matcher) Learner(instance string) *Learner {
	m.mu.RLock()
	l := m.learners[instance]
	m.mu.RUnlock()
	if l != nil {
		return l
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.learners) >= maxLearners && m.learners[instance] == nil {
		instance = ""
	}
	l = m.learners[instance]
	if l == nil {
		l = newLearner(m.maxChildren, m.maxNodes, &m.nodes)
		m.learners[instance] = l
	}
	return l
}

// Forget drops what was learned of an instance that is gone.
func (m *Matcher) Forget(instance string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	l := m.learners[instance]
	delete(m.learners, instance)
	m.mu.Unlock()
	if l != nil {
		l.forget()
	}
}
