// SPDX-License-Identifier: Apache-2.0

package sqltext

import "bytes"

// Dialect says what quotes, comments and escapes are.
type Dialect uint8

const (
	// PostgreSQL (documentation, chapter 4.1): dollar quotes, E strings, nested
	// comments, "identifiers", $1 parameters.
	PostgreSQL Dialect = iota
	// PostgreSQLEscapes is PostgreSQL with standard_conforming_strings off: a
	// backslash escapes in every string.
	PostgreSQLEscapes
	// MySQL and MariaDB: both quotes make strings, with backslash escapes,
	// `identifiers`, # comments, and comments whose content is executed.
	MySQL
	// CQL is Cassandra's: UUIDs and durations without quotes, $$ strings.
	CQL
)

func (d Dialect) postgresql() bool { return d <= PostgreSQLEscapes }

// kind of a token.
type kind uint8

const (
	kindEnd kind = iota
	kindSpace
	kindComment
	kindWord
	// kindQuoted: an identifier in quotes, with them.
	kindQuoted
	// kindLiteral: a string or number; kindParameter: a place for one.
	kindLiteral
	kindParameter
	// kindOther: one byte of anything else.
	kindOther
)

// lexer cuts a text into tokens, in one pass.
type lexer struct {
	text    []byte
	dialect Dialect
	// The token at hand is text[start:at].
	start, at int
}

// class of a byte.
const (
	classOther uint8 = iota
	classSpace
	classLetter // or _, or not ASCII
	classDigit
	classQuote
	classSpecial // may begin a comment, parameter or number
)

var classes = func() (c [256]uint8) {
	for i := range c {
		switch b := byte(i); {
		case b == ' ' || b >= '\t' && b <= '\r':
			c[i] = classSpace
		case b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '_' || b >= 0x80:
			c[i] = classLetter
		case b >= '0' && b <= '9':
			c[i] = classDigit
		case b == '\'' || b == '"' || b == '`':
			c[i] = classQuote
		case b == '-' || b == '+' || b == '/' || b == '#' || b == '$' || b == '?' || b == '.' || b == ':' || b == '*':
			c[i] = classSpecial
		}
	}
	return c
}()

// wordByte: it can continue a word.
func wordByte(b byte) bool {
	c := classes[b]
	return c == classLetter || c == classDigit || b == '$'
}

// peek is the i-th byte of the text, 0 behind its end.
func (l *lexer) peek(i int) byte {
	if i < len(l.text) {
		return l.text[i]
	}
	return 0
}

// next finds the next token.
func (l *lexer) next() kind {
	l.start = l.at
	if l.at >= len(l.text) {
		return kindEnd
	}
	b := l.text[l.at]
	switch classes[b] {
	case classSpace:
		for l.at++; l.at < len(l.text) && classes[l.text[l.at]] == classSpace; l.at++ {
		}
		return kindSpace
	case classLetter:
		return l.word()
	case classDigit:
		return l.number()
	case classQuote:
		return l.quote(b, false)
	case classSpecial:
		return l.special(b)
	}
	l.at++
	return kindOther
}

// word is at a letter.
func (l *lexer) word() kind {
	if l.dialect == CQL && l.uuid() {
		return kindLiteral
	}
	t := l.text
	i := l.at + 1
	for i < len(t) && (classes[t[i]] == classLetter || classes[t[i]] == classDigit || t[i] == '$') {
		i++
	}
	l.at = i
	if i-l.start == 1 && i < len(t) {
		// Prefixes of strings: E'', B'', X'', N'', U&'' and U&"".
		switch t[l.start] | 0x20 {
		case 'e':
			if t[i] == '\'' && l.dialect.postgresql() {
				return l.quote('\'', true)
			}
		case 'b', 'x', 'n':
			if t[i] == '\'' {
				return l.quote('\'', false)
			}
		case 'u':
			if t[i] == '&' && l.dialect.postgresql() && (l.peek(i+1) == '\'' || l.peek(i+1) == '"') {
				l.at = i + 1
				return l.quote(t[i+1], false)
			}
		}
	}
	if l.dialect == CQL && duration(t[l.start:i]) {
		return kindLiteral
	}
	return kindWord
}

// number is at a digit, or at a period or sign before one. Whatever follows it without
// a break belongs to it: exponents, 0xff, 1_000, 12h30m, and what no dialect allows.
func (l *lexer) number() kind {
	if l.dialect == CQL && l.uuid() {
		return kindLiteral
	}
	t := l.text
	i := l.at
	if t[i] == '-' || t[i] == '+' {
		i++
	}
	hex := t[i] == '0' && l.peek(i+1)|0x20 == 'x'
	for ; i < len(t); i++ {
		switch b := t[i]; {
		case wordByte(b) || b == '.':
		case (b == '-' || b == '+') && !hex && t[i-1]|0x20 == 'e' && classes[l.peek(i+1)] == classDigit:
		default:
			l.at = i
			return kindLiteral
		}
	}
	l.at = i
	return kindLiteral
}

// quote is at the opening quote q. Without the closing one everything is in quotes.
func (l *lexer) quote(q byte, escapes bool) kind {
	k := kindQuoted
	switch {
	case q == '\'' || q == '"' && l.dialect == MySQL:
		k = kindLiteral
		escapes = escapes || l.dialect == MySQL || l.dialect == PostgreSQLEscapes
	case q == '`' && l.dialect != MySQL:
		l.at++
		return kindOther
	}
	t := l.text
	for i := l.at + 1; i < len(t); i++ {
		switch t[i] {
		case '\\':
			if escapes {
				i++
			}
		case q:
			if l.peek(i+1) != q {
				l.at = i + 1
				return k
			}
			i++
		}
	}
	l.at = len(t)
	return kindLiteral
}

// special is at a byte that means something together with what follows.
func (l *lexer) special(b byte) kind {
	t := l.text
	following := l.peek(l.at + 1)
	switch b {
	case '-':
		if following == '-' && (l.dialect != MySQL || l.at+2 >= len(t) || classes[t[l.at+2]] == classSpace) {
			return l.line()
		}
	case '#':
		if l.dialect == MySQL {
			return l.line()
		}
	case '/':
		if following == '*' {
			return l.comment()
		}
		if following == '/' && l.dialect == CQL {
			return l.line()
		}
	case '*':
		if following == '/' && l.dialect == MySQL {
			// The end of a comment that is executed.
			l.at += 2
			return kindComment
		}
	case '$':
		if l.dialect != MySQL {
			return l.dollar(following)
		}
	case '?':
		l.at++
		if l.dialect.postgresql() {
			return kindOther // an operator
		}
		return kindParameter
	case ':':
		if l.dialect == CQL && classes[following] == classLetter {
			for l.at += 2; l.at < len(t) && wordByte(t[l.at]); l.at++ {
			}
			return kindParameter
		}
		if following == ':' {
			l.at++
		}
	case '.':
		if classes[following] == classDigit {
			return l.number()
		}
	}
	if b == '-' || b == '+' {
		// A sign, unless it stands between operands.
		digits := following
		if digits == '.' {
			digits = l.peek(l.at + 2)
		}
		if classes[digits] == classDigit && !l.operandBefore() {
			return l.number()
		}
	}
	l.at++
	return kindOther
}

// operandBefore reports whether an identifier or a bracket ends right before the token.
func (l *lexer) operandBefore() bool {
	if l.at == 0 {
		return false
	}
	b := l.text[l.at-1]
	if classes[b] == classDigit {
		// The end of a number is no operand: conventions' test case 99+100.
		i := l.at - 1
		for i > 0 && classes[l.text[i]] == classDigit && l.at-i < 32 {
			i--
		}
		return classes[l.text[i]] == classLetter || l.text[i] == '$'
	}
	return classes[b] == classLetter || b == ')' || b == ']' || b == '"' || b == '`'
}

func (l *lexer) line() kind {
	if n := bytes.IndexByte(l.text[l.at:], '\n'); n >= 0 {
		l.at += n
	} else {
		l.at = len(l.text)
	}
	return kindComment
}

// comment is at /*. PostgreSQL's are nested.
func (l *lexer) comment() kind {
	t := l.text
	i := l.at + 2
	if l.dialect == MySQL {
		// /*! and /*M! with an optional version: what is in there is executed.
		j := i
		if l.peek(j) == 'M' {
			j++
		}
		if l.peek(j) == '!' {
			for j++; classes[l.peek(j)] == classDigit; j++ {
			}
			l.at = j
			return kindComment
		}
	}
	depth := 1
	for ; i+1 < len(t); i++ {
		switch {
		case t[i] == '*' && t[i+1] == '/':
			i++
			if depth--; depth == 0 {
				l.at = i + 1
				return kindComment
			}
		case t[i] == '/' && t[i+1] == '*' && l.dialect.postgresql():
			i++
			depth++
		}
	}
	l.at = len(t)
	return kindComment
}

// dollar is at a $: of a parameter, or of a string in dollar quotes.
func (l *lexer) dollar(following byte) kind {
	t := l.text
	i := l.at + 1
	if classes[following] == classDigit {
		for i < len(t) && classes[t[i]] == classDigit {
			i++
		}
		l.at = i
		return kindParameter
	}
	for i < len(t) && (classes[t[i]] == classLetter || classes[t[i]] == classDigit) {
		i++
	}
	if i >= len(t) || t[i] != '$' {
		l.at = i
		if i >= len(t) {
			return kindLiteral
		}
		return kindOther
	}
	tag := t[l.at : i+1]
	if n := bytes.Index(t[i+1:], tag); n >= 0 {
		l.at = i + 1 + n + len(tag)
	} else {
		l.at = len(t)
	}
	return kindLiteral
}

// uuid passes over a UUID without quotes, if there is one (8-4-4-4-12 hexadecimal
// digits), or over what can be the beginning of one that is cut.
func (l *lexer) uuid() bool {
	t := l.text[l.at:]
	for i := range 36 {
		if i == len(t) {
			if i < 9 {
				return false
			}
			l.at += i
			return true
		}
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if t[i] != '-' {
				return false
			}
		} else if b := t[i] | 0x20; classes[t[i]] != classDigit && (b < 'a' || b > 'f') {
			return false
		}
	}
	if len(t) > 36 && wordByte(t[36]) {
		return false
	}
	l.at += 36
	return true
}

// duration recognises ISO 8601 durations, which CQL has without quotes: P1Y2M3DT4H.
func duration(w []byte) bool {
	if len(w) < 3 || w[0]|0x20 != 'p' {
		return false
	}
	digits, units := 0, 0
	for _, b := range w[1:] {
		switch {
		case classes[b] == classDigit:
			digits++
		case b|0x20 == 't' && digits == 0:
		case digits > 0 && bytes.IndexByte([]byte("ymwdhs"), b|0x20) >= 0:
			digits = 0
			units++
		default:
			return false
		}
	}
	return units > 0 && digits == 0
}
