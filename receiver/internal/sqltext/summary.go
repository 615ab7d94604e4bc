// SPDX-License-Identifier: Apache-2.0

package sqltext

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"

// MaxSummary is the longest summary, in bytes; the conventions say characters.
const MaxSummary = 255

// Summary is what a text does to what.
type Summary struct {
	// Summary is db.query.summary: operations and their targets in the order of the
	// text, as they are written there. It ends before the part that would not fit in
	// MaxSummary. Empty where nothing was recognised.
	Summary string
	// Operation is set if there is only one, Collection if that is on one table only.
	// See the package's documentation for where they may be used.
	Operation, Collection string
	// Procedure is the stored procedure that is called; empty if there is none, or
	// something else, too.
	Procedure string
}

// maxDepth is how deep brackets are followed; below it nothing is recognised.
const maxDepth = 24

// maxNames is how many names of common table expressions are remembered.
const maxNames = 8

type state uint8

const (
	// stateNone: only SELECT and words that belong to it mean something.
	stateNone state = iota
	// stateStart: an operation comes.
	stateStart
	// stateBracket: the first word behind a bracket: a query, or nothing.
	stateBracket
	// stateEither: a query or a table.
	stateEither
	// stateTarget: what the operation is about comes.
	stateTarget
	// stateAfter: behind a table: a comma or a join adds one.
	stateAfter
	// stateObject: the kind of an object comes, then stateTarget.
	stateObject
	// stateName, stateNamed, stateBody, stateBodyEnd: in the list of a WITH: before a
	// name, behind it, before the bracket, behind it.
	stateName
	stateNamed
	stateBody
	stateBodyEnd
	// stateIgnore: nothing more of this statement is wanted.
	stateIgnore
)

// span is a part of the text.
type span struct{ from, to int }

// frame is one level of brackets.
type frame struct {
	state state
	op    keyword
	// from: FROM has been seen, so another one is not of this operation.
	from bool
	// list: a comma behind a target introduces another.
	list bool
}

// summarizer follows the tokens of a text, but for space and comments.
type summarizer struct {
	dialect Dialect
	depth   int
	frames  [maxDepth]frame
	// setOperation: the next SELECT continues the one before.
	setOperation bool
	// routine: the definition of code follows; body: it has begun, so that semicolons
	// do not end the statement. kind is of the object that is created.
	routine, body bool
	kind          keyword
	last          keyword // of the word before, if it was the token before
	target        span    // being read: names joined by periods
	period        bool    // the next name belongs to it

	names     [maxNames]span
	nnames    int
	ops       int
	op        span
	targets   int
	tables    int
	procedure bool
	target1   span

	full bool
	n    int
	out  [MaxSummary]byte
	text []byte
}

// put adds a part to the summary.
func (s *summarizer) put(b []byte) {
	if s.full {
		return
	}
	n := s.n
	if n > 0 {
		n++
	}
	if n+len(b) > MaxSummary {
		s.full = true
		return
	}
	if n > 0 {
		s.out[s.n] = ' '
	}
	s.n = n + copy(s.out[n:], b)
}

// operation adds the word at hand.
func (s *summarizer) operation(l *lexer, op keyword) {
	if s.ops++; s.ops == 1 {
		s.op = span{l.start, l.at}
	}
	s.put(l.text[l.start:l.at])
	f := &s.frames[s.depth]
	*f = frame{op: op}
}

// finish makes the summary.
func (s *summarizer) finish(table *intern.Table) Summary {
	s.settle()
	q := Summary{Summary: table.String(s.out[:s.n])}
	if s.ops == 1 {
		q.Operation = table.String(s.text[s.op.from:s.op.to])
		if s.targets == 1 {
			name := s.text[s.target1.from:s.target1.to]
			if s.tables == 1 {
				q.Collection = table.String(name)
			} else if s.procedure {
				q.Procedure = table.String(name)
			}
		}
	}
	return q
}

// settle adds the target that has been read.
func (s *summarizer) settle() {
	if s.target.to == 0 {
		return
	}
	t, cut := s.target, s.period
	s.target, s.period = span{}, false
	if cut {
		return
	}
	name := s.text[t.from:t.to]
	for _, n := range s.names[:s.nnames] {
		if string(s.text[n.from:n.to]) == string(name) {
			return // a common table expression is no collection
		}
	}
	f := &s.frames[s.depth]
	if s.targets++; s.targets == 1 {
		s.target1 = t
	}
	switch f.op {
	case wordCall:
		s.procedure = true
	case wordSelect, wordInsert, wordUpdate, wordDelete, wordMerge, wordTruncate, wordCopy, wordLoad, wordTable:
		s.tables++
	case wordCreate, wordDrop:
		if s.kind == wordTable {
			s.tables++
		}
	}
	s.put(name)
}

// token handles one.
func (s *summarizer) token(l *lexer, k kind) {
	s.text = l.text
	if s.target.to != 0 {
		// A name is being read: a.b.c.
		if k == kindOther && l.text[l.start] == '.' && l.start == s.target.to {
			s.period = true
			s.target.to = l.at
			return
		}
		if s.period && (k == kindWord || k == kindQuoted) && l.start == s.target.to {
			s.period = false
			s.target.to = l.at
			return
		}
		s.settle()
	}
	f := &s.frames[s.depth]
	switch k {
	case kindWord:
		if f.state == stateIgnore && !s.routine {
			return
		}
		s.last = s.word(l, f)
		return
	case kindQuoted:
		s.identifier(l, f)
	case kindOther:
		s.other(l, f)
		return
	default:
		if f.state == stateTarget || f.state == stateEither {
			f.state = stateAfter
		}
	}
	s.last = notKeyword
}

// other handles brackets, commas and semicolons.
func (s *summarizer) other(l *lexer, f *frame) {
	switch l.text[l.start] {
	case '(':
		s.open(f)
	case ')':
		s.close()
	case ',':
		switch f.state {
		case stateAfter:
			if f.list {
				f.state = stateTarget
			}
		case stateBodyEnd:
			f.state = stateName
		}
	case ';':
		if !s.body {
			s.depth = 0
			s.frames[0] = frame{state: stateStart}
			s.setOperation, s.routine, s.kind = false, false, notKeyword
		}
	case '@', '%', '=', '*', '{':
		if f.state == stateTarget || f.state == stateEither {
			f.state = stateAfter // @variable
		}
	}
	s.last = notKeyword
}

func (s *summarizer) open(f *frame) {
	inner := frame{state: stateBracket}
	switch f.state {
	case stateTarget, stateEither:
		inner = frame{state: stateEither, op: f.op, list: true, from: true}
	case stateBody, stateStart:
		inner.state = stateStart
		if f.op == wordExplain {
			inner.state = stateIgnore // EXPLAIN (ANALYZE)
		}
	case stateIgnore:
		inner.state = stateIgnore
	}
	s.depth++
	if s.depth < maxDepth {
		s.frames[s.depth] = inner
		return
	}
	// Too deep: what follows is read as if it were at the deepest level.
	s.depth = maxDepth - 1
	s.frames[s.depth].state = stateIgnore
}

func (s *summarizer) close() {
	if s.depth == 0 {
		return
	}
	s.depth--
	switch f := &s.frames[s.depth]; f.state {
	case stateTarget, stateEither:
		f.state = stateAfter
	case stateBody:
		f.state = stateBodyEnd
	case stateStart:
		if f.op != wordExplain {
			f.state = stateNone
		}
	}
}

// identifier handles a word that is no keyword.
func (s *summarizer) identifier(l *lexer, f *frame) {
	switch f.state {
	case stateTarget, stateEither:
		f.state = stateAfter
		s.target = span{l.start, l.at}
		switch f.op {
		case wordCreate, wordCall, wordExecute, wordUse, wordCopy, wordMaintain:
			// Nothing more is wanted. The name is settled with this frame's
			// operation.
			f.state = stateIgnore
		}
	case stateStart:
		if f.op == notKeyword && s.depth == 0 && command(l.text[l.start:l.at]) {
			// A command we know nothing about: COMMIT, GRANT, LISTEN...
			s.operation(l, notKeyword)
			f.state = stateIgnore
		}
	case stateBracket:
		f.state = stateNone
	case stateName:
		if s.nnames < maxNames {
			s.names[s.nnames] = span{l.start, l.at}
			s.nnames++
		}
		f.state = stateNamed
	}
}

// word handles a word and returns what it means.
func (s *summarizer) word(l *lexer, f *frame) keyword {
	w := lookup(l.text[l.start:l.at])
	switch f.state {
	case stateStart:
		s.start(l, f, w)
		return w
	case stateBracket:
		f.state = stateNone
		if w == wordSelect || w == wordWith {
			s.start(l, f, w)
		}
		return w
	case stateTarget, stateEither:
		if s.beforeTarget(l, f, w) {
			return w
		}
		s.identifier(l, f)
		return notKeyword
	case stateObject:
		s.object(l, f, w)
		return w
	case stateName:
		if w != wordRecursive {
			s.identifier(l, f)
		}
		return w
	case stateNamed:
		if w == wordAs {
			f.state = stateBody
		}
		return w
	case stateBody:
		return w // [NOT] MATERIALIZED
	case stateBodyEnd:
		s.start(l, f, w)
		return w
	case stateIgnore:
		s.body = s.body || w == wordBegin
		return w
	}
	s.within(l, f, w)
	return w
}

// start handles the first word of a statement.
func (s *summarizer) start(l *lexer, f *frame, w keyword) {
	switch w {
	case wordSelect:
		if s.setOperation {
			s.setOperation = false
			*f = frame{op: wordSelect}
			return
		}
		s.operation(l, w)
	case wordInsert, wordUpdate, wordMerge, wordTable, wordTruncate, wordMaintain:
		if w == wordMaintain && f.op == wordExplain {
			return // EXPLAIN ANALYZE
		}
		s.operation(l, w)
		f.state = stateTarget
		f.list = w == wordUpdate || w == wordTruncate
	case wordDelete:
		s.operation(l, w)
	case wordWith:
		f.state = stateName
	case wordCreate, wordDrop:
		s.operation(l, w)
		f.state = stateObject
	case wordCall, wordExecute, wordCopy, wordUse:
		s.operation(l, w)
		f.state = stateTarget
	case wordLoad:
		s.operation(l, w)
	case wordExplain:
		s.operation(l, w)
		if l.text[l.start]|0x20 == 'e' {
			f.state = stateStart // its options are no operations
			f.op = wordExplain
		}
	case wordStart, wordBegin:
		s.operation(l, w)
		f.state = stateStart
		f.op = w
	case wordTransaction, wordBatch:
		if f.op == wordStart || f.op == wordBegin {
			s.put(l.text[l.start:l.at])
			f.state = stateIgnore
			if w == wordBatch {
				f.state = stateNone // statements follow
			}
			return
		}
		s.identifier(l, f)
	case wordApply:
		f.state = stateIgnore // APPLY BATCH
	default:
		if f.op == wordStart || f.op == wordBegin {
			if s.dialect != CQL {
				f.state = stateIgnore
			}
			return
		}
		s.identifier(l, f)
	}
}

// beforeTarget handles words that may stand between an operation and its target.
func (s *summarizer) beforeTarget(l *lexer, f *frame, w keyword) bool {
	switch w {
	case wordSelect, wordWith:
		if f.state == stateEither {
			s.start(l, f, w)
			return true
		}
	case wordClause:
		if f.state == stateEither {
			f.state = stateNone // (VALUES ...)
			return true
		}
		if f.op == wordInsert || f.op == wordUse {
			return false
		}
		f.state = stateNone
		return true
	case wordModifier:
		return f.op != wordSelect
	case wordInto, wordOnly:
		return true
	case wordFrom:
		return f.op != wordSelect
	case wordOn:
		// CREATE INDEX ON t: it has no name.
		f.state = stateIgnore
		return true
	case wordTable:
		if f.op == wordTruncate {
			s.put(l.text[l.start:l.at])
			s.kind = wordTable
		}
		return f.op == wordTruncate || f.op == wordMaintain || f.op == wordLoad
	case wordObject:
		return f.op == wordMaintain
	case wordMaintain:
		return f.op == wordMaintain // VACUUM ANALYZE t
	}
	return false
}

// object handles words between CREATE and the name.
func (s *summarizer) object(l *lexer, f *frame, w keyword) {
	switch w {
	case wordTable, wordObject, wordRoutine:
		s.put(l.text[l.start:l.at])
		s.kind = w
		s.routine = w == wordRoutine && f.op == wordCreate
		f.state = stateTarget
		f.list = f.op == wordDrop
	}
}

// within handles words in the middle of a statement.
func (s *summarizer) within(l *lexer, f *frame, w keyword) {
	switch w {
	case wordSelect:
		s.start(l, f, w)
	case wordWith:
		if f.op == wordInsert || f.op == wordExplain {
			s.start(l, f, w)
		}
	case wordFrom:
		if !f.from && s.last != wordDistinct && (f.op == wordSelect || f.op == wordDelete || f.op == wordUpdate) {
			f.from, f.list = true, true
			f.state = stateTarget
		}
	case wordUsing:
		if (f.op == wordDelete || f.op == wordMerge) && s.dialect != CQL {
			f.state, f.list = stateTarget, true
		}
	case wordInto:
		if f.op == wordLoad {
			f.state = stateTarget
		}
	case wordJoin:
		if f.state == stateAfter {
			f.state = stateTarget
		}
	case wordSetOperation:
		s.setOperation = true
		f.state = stateStart
		f.op = wordSelect
	case wordClause:
		if f.state == stateAfter {
			f.state = stateNone
		}
	case wordInsert, wordUpdate, wordDelete:
		// What PREPARE and BEGIN BATCH hold; the latter not separated in CQL.
		if f.op == wordExplain && s.last == wordAs || s.dialect == CQL && f.op != wordSelect {
			s.start(l, f, w)
		}
	case wordData:
		if f.op == wordLoad && s.last == wordLoad {
			s.put(l.text[l.start:l.at])
		}
	}
}

// command: a word that can be the name of a command: letters only, not too many.
func command(word []byte) bool {
	if len(word) > longestKeyword {
		return false
	}
	for _, b := range word {
		if b |= 0x20; b < 'a' || b > 'z' {
			return false
		}
	}
	return true
}

// Trim cuts off a text whose end is not there what may be the beginning of a longer
// name or number.
func Trim(text []byte) []byte {
	n := len(text)
	for n > 0 && (wordByte(text[n-1]) || text[n-1] == '.') {
		n--
	}
	return text[:n]
}
