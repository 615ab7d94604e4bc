// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"
	"encoding/binary"
)

// maxMethod bounds a method token, in bytes. The longest registered method is
// UPDATEREDIRECTREF (17); the rest is for private ones.
const maxMethod = 32

// match is the outcome of comparing bytes with a line's grammar.
type match uint8

const (
	// no: the bytes cannot begin such a line.
	no match = iota
	// maybe: they are a proper prefix of one.
	maybe
	// yes: they begin with a complete one.
	yes
)

// tokenByte marks tchar (RFC 9110 section 5.6.2).
var tokenByte = func() (t [256]bool) {
	for c := byte('0'); c <= '9'; c++ {
		t[c] = true
	}
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-0x20] = true, true
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()

const versionPrefix = "HTTP/1."

// matchRequestLine compares b with a request line (RFC 9112 section 3) of at
// most limit bytes: method SP target SP HTTP/1.x, CR LF or a bare LF.
func matchRequestLine(b []byte, limit int) match {
	i := 0
	for i < len(b) && tokenByte[b[i]] {
		if i++; i > maxMethod {
			return no
		}
	}
	if i == len(b) {
		return maybe
	}
	if i == 0 || b[i] != ' ' {
		return no
	}
	i++
	start := i
	for i < len(b) && b[i] > ' ' && b[i] != 0x7f {
		i++
	}
	if i > limit {
		return no
	}
	if i == len(b) {
		return maybe
	}
	if i == start || b[i] != ' ' {
		return no
	}
	return matchVersion(b[i+1:], true)
}

// commonMethods are what a request found after a loss may begin with. What is
// left of a cut method is often a token too, so the registered methods that
// end another one (LOCK, LINK, BIND, SUBSCRIBE) are not among them.
var commonMethods = [...]string{
	"GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "QUERY",
	"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "UNLOCK", "SEARCH", "REPORT", "MERGE",
	"PURGE", "M-SEARCH", "NOTIFY",
}

// commonMethod reports whether b begins with a common method and a space, or is
// a prefix of that.
func commonMethod(b []byte) bool {
	for _, m := range commonMethods {
		n := min(len(b), len(m))
		if string(b[:n]) == m[:n] && (len(b) == n || b[n] == ' ') {
			return true
		}
	}
	return false
}

// matchStatusLine compares b with the fixed part of a status line (RFC 9112
// section 4): HTTP/1.x SP and three digits.
func matchStatusLine(b []byte) match {
	if m := matchVersion(b, false); m != yes {
		return m
	}
	b = b[len(versionPrefix)+1:]
	for i := range 4 {
		if i == len(b) {
			return maybe
		}
		if i == 0 && b[i] != ' ' || i > 0 && !digit(b[i]) {
			return no
		}
	}
	if b[1] == '0' {
		return no
	}
	if len(b) == 4 {
		return maybe
	}
	if c := b[4]; c != ' ' && c != '\r' && c != '\n' {
		return no
	}
	return yes
}

// matchVersion compares b with HTTP/1.0 or HTTP/1.1, up to the end of the line
// if line is true.
func matchVersion(b []byte, line bool) match {
	n := min(len(b), len(versionPrefix))
	if string(b[:n]) != versionPrefix[:n] {
		return no
	}
	if len(b) <= n {
		return maybe
	}
	if b[n] != '0' && b[n] != '1' {
		return no
	}
	if !line {
		return yes
	}
	b = b[n+1:]
	switch {
	case len(b) == 0:
		return maybe
	case b[0] == '\n':
		return yes
	case b[0] != '\r':
		return no
	case len(b) == 1:
		return maybe
	case b[1] == '\n':
		return yes
	}
	return no
}

func digit(c byte) bool { return c-'0' <= 9 }

// skipEmptyLines drops empty lines before a start line (RFC 9112 section 2.2).
func skipEmptyLines(b []byte) []byte {
	for len(b) > 0 && (b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}

// trim removes optional whitespace (RFC 9110 section 5.6.3) at both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// equalFold compares b with a lower-case ASCII name, ignoring case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		c := b[i]
		if c-'A' <= 'Z'-'A' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// equalName compares b with a lower-case header name of letters, digits and
// dashes, of the same length, ignoring case, eight bytes at a time. Setting the
// case bit maps nothing to a letter but that letter, to a dash only CR, and to a
// digit only a control character, which is in no name.
func equalName(b []byte, lower string) bool {
	const fold = 0x2020202020202020
	n := len(lower)
	if n < 8 {
		return equalFold(b, lower)
	}
	b = b[:n]
	for i := 0; i+8 <= n; i += 8 {
		if binary.LittleEndian.Uint64(b[i:])|fold != word(lower[i:]) {
			return false
		}
	}
	return binary.LittleEndian.Uint64(b[n-8:])|fold == word(lower[n-8:])
}

// word is the first eight bytes of s; the compiler makes one load of it.
func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// headEnd is the index after the empty line that ends a head, looking from
// from on; -1 if it is not there.
func headEnd(b []byte, from int) int {
	for from < len(b) {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return -1
		}
		from += i + 1
		rest := b[from:]
		if len(rest) > 0 && rest[0] == '\n' {
			return from + 1
		}
		if len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n' {
			return from + 2
		}
	}
	return -1
}
