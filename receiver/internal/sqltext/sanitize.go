// SPDX-License-Identifier: Apache-2.0

package sqltext

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"

// Query is what is to be known of a text.
type Query struct {
	Summary
	// Parameterized: the text has places for parameters. The conventions want such
	// a text reported as it is: who uses parameters has put what is secret there.
	Parameterized bool
}

// Sanitize appends the text to dst, with `?` for every literal: strings, numbers,
// TRUE and FALSE. Lists of nothing but those behind IN become `(?)`. Comments are left
// out; white space and everything else stays. A text may be cut: a literal without an
// end is replaced too.
func Sanitize(dst, text []byte, d Dialect) []byte {
	w := writer{dst: dst, text: text}
	l := lexer{text: text, dialect: d}
	for {
		k := l.next()
		if k == kindEnd {
			return w.finish(len(text))
		}
		w.token(&l, k)
	}
}

// Analyze is Sanitize and Summarize in one pass.
func Analyze(dst, text []byte, d Dialect, table *intern.Table) ([]byte, Query) {
	w := writer{dst: dst, text: text}
	l := lexer{text: text, dialect: d}
	s := summarizer{dialect: d}
	s.frames[0].state = stateStart
	var q Query
	for {
		k := l.next()
		if k == kindEnd {
			break
		}
		w.token(&l, k)
		switch k {
		case kindParameter:
			q.Parameterized = true
			s.token(&l, k)
		case kindSpace, kindComment:
		default:
			s.token(&l, k)
		}
	}
	q.Summary = s.finish(table)
	return w.finish(len(text)), q
}

// Summarize makes the summary of a text, which may be cut.
func Summarize(text []byte, d Dialect, table *intern.Table) Summary {
	return Describe(text, d, table).Summary
}

// Describe is Analyze without the sanitized text.
func Describe(text []byte, d Dialect, table *intern.Table) Query {
	l := lexer{text: text, dialect: d}
	s := summarizer{dialect: d}
	s.frames[0].state = stateStart
	var q Query
	for {
		k := l.next()
		switch k {
		case kindEnd:
			q.Summary = s.finish(table)
			return q
		case kindSpace, kindComment:
			continue
		case kindParameter:
			q.Parameterized = true
		}
		s.token(&l, k)
	}
}

// list is where the writer is with respect to a list behind IN.
type list uint8

const (
	listNone  list = iota
	listIn         // behind IN
	listItems      // behind the bracket, and there were only literals
)

// writer copies a text without its literals.
type writer struct {
	dst, text []byte
	from      int // of what is not copied yet
	list      list
	items     int // where in dst the list's items begin
	count     int
}

func (w *writer) flush(to int) {
	w.dst = append(w.dst, w.text[w.from:to]...)
}

func (w *writer) finish(to int) []byte {
	w.flush(to)
	return w.dst
}

func (w *writer) token(l *lexer, k kind) {
	switch k {
	case kindSpace:
	case kindComment:
		w.flush(l.start)
		w.from = l.at
	case kindLiteral:
		w.literal(l)
	case kindWord:
		w.list = listNone
		switch l.at - l.start {
		case 2:
			if word := l.text[l.start:l.at]; word[0]|0x20 == 'i' && word[1]|0x20 == 'n' {
				w.list = listIn
			}
		case 4:
			if equalFold(l.text[l.start:l.at], "true") {
				w.literal(l)
			}
		case 5:
			if equalFold(l.text[l.start:l.at], "false") {
				w.literal(l)
			}
		}
	default:
		if w.list != listNone {
			w.inList(l)
		}
	}
}

func (w *writer) literal(l *lexer) {
	w.flush(l.start)
	w.dst = append(w.dst, '?')
	w.from = l.at
	if w.list == listItems {
		w.count++
	} else {
		w.list = listNone
	}
}

// inList is at something that is no word, behind IN.
func (w *writer) inList(l *lexer) {
	switch b := l.text[l.start]; {
	case w.list == listIn && b == '(':
		w.flush(l.at)
		w.from = l.at
		w.list, w.items, w.count = listItems, len(w.dst), 0
	case w.list == listItems && b == ',':
	case w.list == listItems && b == '?' && l.at-l.start == 1:
		w.count++
	case w.list == listItems && b == ')' && w.count > 1:
		w.dst = append(w.dst[:w.items], '?')
		w.from = l.start
		w.list = listNone
	default:
		w.list = listNone
	}
}

// equalFold compares a word with lower-case letters.
func equalFold(word []byte, lower string) bool {
	if len(word) != len(lower) {
		return false
	}
	for i, b := range word {
		if b != lower[i] && b|0x20 != lower[i] {
			return false
		}
	}
	return true
}
