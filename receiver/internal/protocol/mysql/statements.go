// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"bytes"
	"encoding/binary"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/sqltext"
)

const (
	// maxStatements bounds the prepared statements that are known of a connection,
	// maxTexts the bytes of their texts.
	maxStatements = 4096
	maxTexts      = 1 << 20
	// maxFreeStatements is how many are kept for reuse.
	maxFreeStatements = 16
)

// statement is a prepared one.
type statement struct {
	summary, procedure string
	text               []byte
	cut                bool
	parameters         int
	id                 uint32
	// known: id is valid. dead: it is not any more.
	known, dead bool
}

// statements are those of a connection.
type statements struct {
	byID  map[uint32]*statement
	bytes int
	free  []*statement
	// last is the one prepared last, perhaps not answered yet.
	last *statement
}

// open takes in a statement the server has given an id to; false if there are too
// many.
func (t *statements) open(s *statement, id uint32) bool {
	t.close(id)
	if len(t.byID) >= maxStatements {
		return false
	}
	if t.bytes+len(s.text) > maxTexts {
		s.text, s.cut = s.text[:0], true
	}
	if t.byID == nil {
		t.byID = make(map[uint32]*statement)
	}
	t.bytes += len(s.text)
	s.id, s.known = id, true
	t.byID[id] = s
	return true
}

// close forgets a statement.
func (t *statements) close(id uint32) {
	if id == fromPipeline {
		if t.last == nil {
			return
		}
		if !t.last.known {
			t.last.dead = true // its id is not known yet
			return
		}
		id = t.last.id
	}
	s := t.byID[id]
	if s == nil {
		return
	}
	delete(t.byID, id)
	t.bytes -= len(s.text)
	t.recycle(s)
}

// get finds a statement by its id.
func (t *statements) get(id uint32) *statement {
	if id == fromPipeline {
		return t.last
	}
	return t.byID[id]
}

// clear forgets all: the session was reset.
func (t *statements) clear() {
	clear(t.byID)
	t.bytes, t.last = 0, nil
}

func (t *statements) recycle(s *statement) {
	if t.last == s {
		t.last = nil
	}
	if len(t.free) < maxFreeStatements && cap(s.text) <= dbconv.MaxText {
		*s = statement{text: s.text[:0]}
		t.free = append(t.free, s)
	}
}

func (t *statements) acquire() *statement {
	n := len(t.free)
	if n == 0 {
		return &statement{}
	}
	s := t.free[n-1]
	t.free = t.free[:n-1]
	return s
}

// analyze fills a Detail with what is to be reported of a text.
func (p *parser) analyze(d *dbconv.Detail, text []byte, short bool) {
	var q sqltext.Query
	if short {
		// Half a word at the end would be taken for another one.
		text = text[:bytes.LastIndexAny(text, " \t\r\n,();='\"")+1]
	}
	if p.settings.QueryText == dbconv.TextSanitized {
		d.Text, q = sqltext.Analyze(d.Text[:0], text, sqltext.MySQL, p.host.Strings)
		if q.Parameterized {
			d.Text = append(d.Text[:0], text...)
		}
	} else {
		q = sqltext.Describe(text, sqltext.MySQL, p.host.Strings)
		if p.settings.QueryText == dbconv.TextRaw {
			d.Text = append(d.Text[:0], text...)
		}
	}
	d.Summary, d.Procedure = q.Summary.Summary, q.Procedure
	if p.settings.QueryText == dbconv.TextNone {
		return
	}
	d.Cut = short
	if len(d.Text) > dbconv.MaxText {
		d.Text, d.Cut = d.Text[:dbconv.MaxText], true
	}
}

// query is COM_QUERY.
func (p *parser) query(sl *slot, b []byte, short bool) {
	text := queryText(b, p.known && p.capabilities&clientQueryAttributes != 0, p.known)
	p.analyze(&sl.d, text, short)
	if name, ok := useTarget(text); ok && !short {
		sl.use, sl.changes = p.host.Strings.String(name), true
	}
	if i := bytes.IndexByte(text, ';'); i >= 0 && i < len(text)-1 && !short {
		p.scratch = sqltext.Sanitize(p.scratch[:0], text, sqltext.MySQL)
		sl.texts = countTexts(p.scratch)
	}
}

// countTexts counts the statements in a text without literals.
func countTexts(b []byte) (n int64) {
	for len(b) > 0 {
		i := bytes.IndexByte(b, ';')
		if i < 0 {
			i = len(b)
		}
		if len(bytes.TrimSpace(b[:i])) > 0 {
			n++
		}
		b = b[min(i+1, len(b)):]
	}
	return n
}

// useTarget is the database in a text that is nothing but USE.
func useTarget(text []byte) ([]byte, bool) {
	b := bytes.TrimRight(bytes.TrimSpace(text), "; \t\r\n")
	if len(b) < 5 || !bytes.EqualFold(b[:3], []byte("USE")) || b[3] != ' ' && b[3] != '\t' && b[3] != '\n' && b[3] != '`' {
		return nil, false
	}
	b = bytes.TrimSpace(b[3:])
	if len(b) > 2 && b[0] == '`' && b[len(b)-1] == '`' && bytes.IndexByte(b[1:len(b)-1], '`') < 0 {
		return b[1 : len(b)-1], true
	}
	if bytes.ContainsAny(b, " \t\r\n`;/") {
		return nil, false
	}
	return b, true
}

// prepare is COM_STMT_PREPARE.
func (p *parser) prepare(d *dbconv.Detail, text []byte, short bool) *statement {
	p.analyze(d, text, short)
	s := p.statements.acquire()
	s.summary, s.procedure, s.cut = d.Summary, d.Procedure, d.Cut
	s.text = append(s.text[:0], d.Text...)
	p.statements.last = s
	if d.Summary != "" {
		p.scratch = append(append(p.scratch[:0], "PREPARE "...), d.Summary...)
		d.Summary = p.host.Strings.String(p.scratch[:min(len(p.scratch), sqltext.MaxSummary)])
	}
	return s
}

// execute is COM_STMT_EXECUTE and other commands that name a statement.
func (p *parser) execute(sl *slot, code byte, b []byte, short bool) {
	d := &sl.d
	var s *statement
	if len(b) >= 4 {
		s = p.statements.get(binary.LittleEndian.Uint32(b))
	}
	if s != nil {
		d.Summary, d.Procedure, d.Cut = s.summary, s.procedure, s.cut
		d.Text = append(d.Text[:0], s.text...)
	} else {
		d.Unprepared = true
	}
	switch code {
	case comStmtFetch:
		sl.shape, sl.place, d.Operation = shapeRows, placeRows, "FETCH"
	case comStmtReset:
		sl.shape, d.Operation = shapeOne, "RESET"
	case comStmtBulkExecute:
		if s == nil || short || len(b) < 6 {
			break
		}
		if binary.LittleEndian.Uint16(b[4:])&bulkTypes != 0 {
			d.Batch = bulkRows(b[6:], s.parameters)
		}
	}
	if d.Operation != "" && d.Summary != "" {
		p.scratch = append(append(append(p.scratch[:0], d.Operation...), ' '), d.Summary...)
		d.Summary = p.host.Strings.String(p.scratch[:min(len(p.scratch), sqltext.MaxSummary)])
	}
	if d.Unprepared && d.Operation == "" {
		d.Operation = "EXECUTE"
	}
}

// bulkTypes is the flag of COM_STMT_BULK_EXECUTE that says that types come first.
const bulkTypes = 128
