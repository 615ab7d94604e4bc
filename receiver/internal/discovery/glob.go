// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Glob is a compiled pattern that matches whole strings: * is any run of
// characters including '/', ? is one character, [a-z] one of a class, [!a-z]
// or [^a-z] one outside it, and a backslash takes the next character
// literally.
type Glob struct {
	source string
	tokens []token
}

type token struct {
	kind    tokenKind
	literal rune
	ranges  []runeRange
}

type tokenKind uint8

const (
	tokenLiteral  tokenKind = iota
	tokenAny                // ?
	tokenRun                // *
	tokenClass              // [...]
	tokenNotClass           // [!...]
)

type runeRange struct{ low, high rune }

// CompileGlob compiles a pattern. The error is half a sentence that says what
// is wrong and how to mend it.
func CompileGlob(pattern string) (*Glob, error) {
	g := &Glob{source: pattern}
	rest := pattern
	next := func() rune {
		r, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
		return r
	}
	for rest != "" {
		switch r := next(); r {
		case '*':
			if n := len(g.tokens); n == 0 || g.tokens[n-1].kind != tokenRun {
				g.tokens = append(g.tokens, token{kind: tokenRun})
			}
		case '?':
			g.tokens = append(g.tokens, token{kind: tokenAny})
		case '\\':
			if rest == "" {
				return nil, fmt.Errorf(`%q ends in a backslash that escapes nothing; write "\\\\" for a backslash`, pattern)
			}
			g.tokens = append(g.tokens, token{literal: next()})
		case '[':
			class, after, err := compileClass(rest)
			if err != nil {
				return nil, fmt.Errorf("%q %w", pattern, err)
			}
			rest = after
			g.tokens = append(g.tokens, class)
		default:
			g.tokens = append(g.tokens, token{literal: r})
		}
	}
	return g, nil
}

var errOpenClass = errors.New(`has a "[" without its "]"; close it, or write "\\[" for a bracket`)

// compileClass reads what follows a '['. As in sh, a ']' that comes first is
// a member.
func compileClass(s string) (class token, rest string, err error) {
	class.kind = tokenClass
	if s != "" && (s[0] == '!' || s[0] == '^') {
		class.kind = tokenNotClass
		s = s[1:]
	}
	member := func() (rune, bool) {
		s = strings.TrimPrefix(s, `\`)
		if s == "" {
			return 0, false
		}
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		return r, true
	}
	for first := true; ; first = false {
		if s == "" {
			return token{}, "", errOpenClass
		}
		if s[0] == ']' && !first {
			return class, s[1:], nil
		}
		low, ok := member()
		if !ok {
			return token{}, "", errOpenClass
		}
		high := low
		if len(s) > 1 && s[0] == '-' && s[1] != ']' {
			s = s[1:]
			if high, ok = member(); !ok {
				return token{}, "", errOpenClass
			}
		}
		if high < low {
			return token{}, "", fmt.Errorf("has a backwards range %c-%c; write %c-%c", low, high, high, low)
		}
		class.ranges = append(class.ranges, runeRange{low, high})
	}
}

func (t *token) matches(r rune) bool {
	switch t.kind {
	case tokenLiteral:
		return r == t.literal
	case tokenAny:
		return true
	default:
		for _, span := range t.ranges {
			if span.low <= r && r <= span.high {
				return t.kind == tokenClass
			}
		}
		return t.kind == tokenNotClass
	}
}

// Match reports whether the whole of s matches. Time is at most the product
// of the lengths: only the last * is ever retried.
func (g *Glob) Match(s string) bool {
	var at, position int
	retryToken, retryPosition := -1, 0
	for position < len(s) {
		if at < len(g.tokens) {
			t := &g.tokens[at]
			if t.kind == tokenRun {
				retryToken, retryPosition = at, position
				at++
				continue
			}
			r, size := utf8.DecodeRuneInString(s[position:])
			if t.matches(r) {
				at++
				position += size
				continue
			}
		}
		if retryToken < 0 {
			return false
		}
		_, size := utf8.DecodeRuneInString(s[retryPosition:])
		retryPosition += size
		at, position = retryToken+1, retryPosition
	}
	for at < len(g.tokens) && g.tokens[at].kind == tokenRun {
		at++
	}
	return at == len(g.tokens)
}

// String is the pattern as written.
func (g *Glob) String() string { return g.source }

// startsWith reports whether some string that begins with r could match.
func (g *Glob) startsWith(r rune) bool {
	return len(g.tokens) > 0 && (g.tokens[0].kind == tokenRun || g.tokens[0].matches(r))
}
