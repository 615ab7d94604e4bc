// SPDX-License-Identifier: Apache-2.0

package route

import (
	"bytes"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

const (
	// DefaultMaxChildren is how many different segments may follow one
	// prefix. APIs have a few dozen resources at a level; names of users,
	// articles and files pass this number soon.
	DefaultMaxChildren = 64
	// DefaultMaxNodes is how many prefixes are remembered per instance. About 200
	// bytes each.
	DefaultMaxNodes = 1000
	// lifetime is how many times as many routes an instance can ever have: positions
	// that turn out to vary take back memory, but not what was reported.
	lifetime = 2
	// maxTotalNodes bounds the prefixes of all instances together, to some
	// 20 MB.
	maxTotalNodes = 100_000
	// maxDepth is how many segments of a path are looked at.
	maxDepth = 12
	// collapsed is the placeholder for segments that turned out to vary.
	collapsed = "{*}"
)

// Learner guesses the routes of one service instance from the paths it
// serves. Segments that look like identifiers (see normalize) become "{id}" at
// once. Others are taken for words until more than a set number of them have
// been seen after the same prefix; from then on that position is "{*}". Routes
// handed out before are not taken back. When the memory for prefixes is used
// up, what is new ends in "/**"; when so many were handed out as an instance can have,
// it is "/**" alone.
//
// It is safe for concurrent use; known paths are found without locks and
// without allocating.
type Learner struct {
	maxChildren, maxNodes int
	total                 *atomic.Int64 // nodes of all learners

	root      node
	mu        sync.Mutex // for growing
	size      int        // nodes below root
	made      int        // nodes and rests that ever were
	forgotten bool       // no longer counted in total: must not grow
}

// node is a known prefix. What readers follow are atomic pointers to values
// that never change.
type node struct {
	route    string // template of the prefix; "" for the root
	children atomic.Pointer[map[string]*node]
	varied   atomic.Pointer[node]   // set once collapsed; children is nil then
	rest     atomic.Pointer[string] // route + "/**", made when needed
	detached bool                   // with Learner.mu: not in the tree any more
}

func newLearner(maxChildren, maxNodes int, total *atomic.Int64) *Learner {
	return &Learner{maxChildren: maxChildren, maxNodes: maxNodes, total: total}
}

// resize counts nodes in and out.
func (l *Learner) resize(by int) {
	l.size += by
	l.total.Add(int64(by))
}

func (l *Learner) forget() {
	l.mu.Lock()
	l.total.Add(int64(-l.size))
	l.forgotten = true
	l.mu.Unlock()
}

// Route is the guessed route of a path (without query), which begins with a
// slash; "" if there is none. With learn false nothing new is remembered, and
// paths that are not known have no route: for requests that were answered "not
// found", so that a scanner's guesses do not become routes.
func (l *Learner) Route(path []byte, learn bool) string {
	if len(path) == 0 || path[0] != '/' {
		return ""
	}
	if len(path) == 1 {
		return "/"
	}
	var buf [MaxSegment + 8]byte
	n := &l.root
	rest := path[1:]
	for depth := 0; ; depth++ {
		segment := rest
		slash := bytes.IndexByte(rest, '/')
		if slash >= 0 {
			segment, rest = rest[:slash], rest[slash+1:]
		}
		if depth == maxDepth {
			return l.rest(n, learn)
		}
		next := n.varied.Load()
		if next == nil {
			children := n.children.Load()
			if children != nil {
				next = (*children)[string(segment)]
			}
			if next == nil {
				name := normalize(segment, buf[:0])
				if children != nil && len(name) > 0 {
					next = (*children)[string(name)]
				}
				if next == nil {
					if !learn {
						return ""
					}
					if next = l.grow(n, name); next == nil {
						return l.rest(n, true)
					}
				}
			}
		}
		n = next
		if slash < 0 || len(rest) == 0 { // a trailing slash makes no difference
			return n.route
		}
	}
}

// grow adds a child, unless the segments at this position have become too
// many, in which case it is the one that stands for all. It is nil when there
// is no more memory.
func (l *Learner) grow(n *node, name []byte) *node {
	l.mu.Lock()
	defer l.mu.Unlock()
	if next := n.varied.Load(); next != nil {
		return next
	}
	if l.forgotten || n.detached {
		return nil
	}
	old := n.children.Load()
	var count int
	if old != nil {
		if next := (*old)[string(name)]; next != nil {
			return next
		}
		count = len(*old)
	}
	if count >= l.maxChildren {
		if l.made++; l.made > lifetime*l.maxNodes {
			return nil
		}
		l.resize(1 - n.detach())
		next := &node{route: n.route + "/" + collapsed}
		n.varied.Store(next)
		n.children.Store(nil)
		return next
	}
	if l.size >= l.maxNodes || l.made >= lifetime*l.maxNodes || l.total.Load() >= maxTotalNodes {
		return nil
	}
	l.made++
	children := make(map[string]*node, count+1)
	if old != nil {
		for k, v := range *old {
			children[k] = v
		}
	}
	key := string(name)
	next := &node{route: n.route + "/" + key}
	children[key] = next
	n.children.Store(&children)
	l.resize(1)
	return next
}

// detach takes everything below n out of the tree, and counts it. Who has come there
// before learns nothing any more.
func (n *node) detach() int {
	sum := 0
	each := func(c *node) {
		c.detached = true
		sum += 1 + c.detach()
	}
	if next := n.varied.Load(); next != nil {
		each(next)
	}
	if children := n.children.Load(); children != nil {
		for _, c := range *children {
			each(c)
		}
	}
	return sum
}

// rest is the route for everything below n.
func (l *Learner) rest(n *node, learn bool) string {
	if s := n.rest.Load(); s != nil {
		return *s
	}
	if !learn {
		return ""
	}
	if n != &l.root {
		l.mu.Lock()
		spent := l.made >= lifetime*l.maxNodes
		if !spent {
			l.made++
		}
		l.mu.Unlock()
		if spent {
			return l.rest(&l.root, true)
		}
	}
	s := n.route + Wildcard
	n.rest.Store(&s)
	return s
}

// MaxSegment is the longest segment taken for a word, in bytes.
const MaxSegment = 64

const placeholder = "{id}"

// normalize is what a segment is called in a route: "{id}" if it looks like an
// identifier, with what is known to stand around one ("{id}.png", "{id}:cancel",
// "Users({id})"), and itself otherwise. Parameters of the segment (";jsessionid=...",
// RFC 3986 section 3.3) are left out. buf is memory to use.
func normalize(segment, buf []byte) []byte {
	if i := bytes.IndexByte(segment, ';'); i > 0 {
		segment = segment[:i]
	}
	if !utf8.Valid(segment) || len(segment) > MaxSegment {
		return append(buf, placeholder...)
	}
	// Keys of OData. Without one it is a function's call.
	if i := bytes.IndexByte(segment, '('); i > 0 && segment[len(segment)-1] == ')' && i < len(segment)-2 && isWord(segment[:i]) {
		return append(append(append(buf, segment[:i+1]...), placeholder...), ')')
	}
	// Custom methods (https://google.aip.dev/136).
	if i := bytes.LastIndexByte(segment, ':'); i > 0 && i < len(segment)-1 && isWord(segment[i+1:]) && identifier(segment[:i]) {
		return append(append(buf, placeholder...), segment[i:]...)
	}
	if i := bytes.LastIndexByte(segment, '.'); i > 0 && extension(segment[i+1:]) &&
		bytes.IndexByte(segment, '@') < 0 && (identifier(segment[:i]) || identifier(segment)) {
		return append(append(buf, placeholder...), segment[i:]...)
	}
	if identifier(segment) {
		return append(buf, placeholder...)
	}
	return segment
}

// isWord: letters alone.
func isWord(s []byte) bool {
	for _, c := range s {
		if !isLetter(c) {
			return false
		}
	}
	return true
}

func extension(s []byte) bool {
	if len(s) == 0 || len(s) > 5 {
		return false
	}
	for _, c := range s {
		if !isLetter(c) && !isDigit(c) {
			return false
		}
	}
	return isLetter(s[0])
}

// identifier reports whether a segment looks like it names one of many things:
//
//   - a number, date, time, version or address: digits with punctuation
//     between them (42, 2026-01-31, 1.2.3, 10.0.0.1), but v1, v2.1;
//   - a UUID, or eight or more hexadecimal digits that are not just letters;
//   - a name with a number of three digits and more (order-1001), or that is
//     mostly digits;
//   - an e-mail address;
//   - free text: anything with a percent sign, or with = + , ; ! and the like;
//   - a token: 16 or more letters and digits in which capitals, small letters
//     and digits are mixed (base64, ULID, nano id);
//   - a name with a hash of eight or more hexadecimal digits in it
//     (cart-7d9f8b6c5-x2x4z, main.8f3b2c1d), or with a shorter token (dQw4w9WgXcQ,
//     cus_NffrFeUfNV2Hib).
func identifier(s []byte) bool {
	var digits, upper, lower, hex, separators, others int
	run, longest := 0, 0 // of digits
	for _, c := range s {
		switch {
		case isDigit(c):
			digits++
			hex++
			run++
			longest = max(longest, run)
			continue
		case c >= 'a' && c <= 'z':
			lower++
			if c <= 'f' {
				hex++
			}
		case c >= 'A' && c <= 'Z':
			upper++
			if c <= 'F' {
				hex++
			}
		case c == '-' || c == '_' || c == '.' || c == ':' || c == '~':
			separators++
		case c == '@':
			// An address; "@scope" is a word.
			if lower+upper+digits > 0 {
				return true
			}
			others++
		case c == '%' || c == '=' || c == '+' || c == ',' || c == ';' || c == '!' || c == '|' || c == ' ' || c == '\'' || c == '"':
			return true
		default:
			others++
		}
		run = 0
	}
	letters := lower + upper
	switch {
	case digits == 0:
		return others == 0 && hasToken(s)
	case isVersion(s):
		return false
	case letters == 0 && others == 0:
		return true
	case others > 0:
		return false
	case hex+separators == len(s) && hex >= 8 && (digits >= 2 || hex >= 16):
		return true
	case longest >= 3 && separators > 0 && digits+separators > 3:
		return true
	case digits >= 5 && digits*2 >= len(s):
		return true
	case len(s) >= 16 && separators <= len(s)/8 && digits >= 2 && (upper >= 2 && (lower >= 2 || digits >= 4) || lower >= 2 && digits >= len(s)/4):
		return true
	}
	return hasToken(s)
}

// hasToken reports whether a part of a segment, between punctuation, is a hash of eight or
// more hexadecimal digits, or it or the whole is a token.
func hasToken(s []byte) bool {
	var all, part mixture
	for i := 0; i <= len(s); i++ {
		if i < len(s) && bytes.IndexByte([]byte("-_.:~"), s[i]) < 0 {
			part.add(s[i])
			all.add(s[i])
			continue
		}
		if part.hash() || part.token(8) {
			return true
		}
		part = mixture{}
	}
	return all.token(16)
}

// mixture is what a run of letters and digits consists of.
type mixture struct {
	length, digits, hex int
	// changes between capitals, small letters and digits.
	changes int
	last    byte
}

func (m *mixture) add(c byte) {
	class := c & 0x20 // of letters
	if isDigit(c) {
		class = 1
		m.digits++
		m.hex++
	} else if c|0x20 >= 'a' && c|0x20 <= 'f' {
		m.hex++
	}
	if m.length > 0 && class != m.last {
		m.changes++
	}
	m.last = class
	m.length++
}

func (m *mixture) hash() bool {
	return m.length >= 8 && m.hex == m.length && m.digits >= 2 && m.digits < m.length
}

// token: it changes at every other character, or, if it is long, at two of five, where
// names in camel case change at two of seven.
func (m *mixture) token(least int) bool {
	return m.length >= least && (m.digits > 0 && m.changes*2 >= m.length || m.length >= 20 && m.changes*5 >= m.length*2)
}

// isVersion is true for v1, v2.1, V10, v1beta1.
func isVersion(s []byte) bool {
	if len(s) < 2 || len(s) > 12 || s[0] != 'v' && s[0] != 'V' || !isDigit(s[1]) {
		return false
	}
	digits := 0
	for _, c := range s[1:] {
		if isDigit(c) {
			digits++
		} else if !isLetter(c) && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return digits <= 4
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
