// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"strconv"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
)

// AttrCodeName is the name that belongs to the code of an error ("DuplicateKey"), a
// string: what the conventions have no attribute for beside the code.
const AttrCodeName = "ebpf.mongodb.code_name"

// silent are commands that drivers send for themselves.
var silent = map[string]bool{
	"hello": true, "isMaster": true, "ismaster": true, "saslStart": true, "saslContinue": true, "authenticate": true, "getnonce": true,
}

// describe fills a Detail with what a command says.
func (p *parser) describe(sl *slot, m *message) {
	d := &sl.d
	if m.database != nil {
		d.Namespace = p.host.Strings.String(m.database)
	}
	all := open(m.document)
	first, whole := all.next()
	if first.kind == 0 {
		return
	}
	name := p.host.Strings.String(first.name)
	if name == "$query" || name == "query" && m.database != nil {
		// OP_QUERY may have the command within.
		all = open(first.value)
		if first, whole = all.next(); first.kind == 0 {
			return
		}
		name = p.host.Strings.String(first.name)
	}
	if silent[name] {
		sl.silent = true
		return
	}
	d.Operation = name
	w := writer{b: d.Text[:0], max: dbconv.MaxText, raw: p.settings.QueryText == dbconv.TextRaw}
	w.b = append(w.b, '{')
	w.name(first.name)
	if first.kind == kindString && whole {
		// What the command is about, not a value.
		d.Collection = p.host.Strings.String(first.text())
		w.quoted(first.text())
	} else if whole {
		w.value(first, 1)
	}
	for {
		e, whole := all.next()
		if e.kind == 0 {
			break
		}
		if whole {
			switch string(e.name) {
			case "$db":
				d.Namespace = p.host.Strings.String(e.text())
			case "collection":
				if e.kind == kindString && d.Collection == "" {
					d.Collection = p.host.Strings.String(e.text())
					w.b = append(w.b, `, "collection": `...)
					w.quoted(e.text())
					continue
				}
			case "documents", "updates", "deletes":
				d.Batch = count(e.value)
			}
		}
		if len(e.name) > 0 && e.name[0] == '$' || string(e.name) == "lsid" || string(e.name) == "txnNumber" {
			continue
		}
		w.b = append(w.b, ", "...)
		w.name(e.name)
		switch {
		case string(e.name) == "documents" && !w.raw:
			w.b = append(w.b, "[?]"...)
		case !whole && e.kind != kindDocument && e.kind != kindArray:
			w.b = append(w.b, '?')
		default:
			w.value(e, 1)
		}
	}
	if m.sequence != nil {
		w.b = append(w.b, ", "...)
		w.name(m.sequence)
		w.b = append(w.b, "[?]"...)
		d.Batch = max(m.documents, 0)
	}
	w.b = append(w.b, '}')
	w.full()
	d.Text = w.b
	d.Cut = w.cut || all.cut
	if p.settings.QueryText == dbconv.TextNone {
		d.Text, d.Cut = d.Text[:0], false
	}
}

// outcome fills a Detail with what a response says.
func (p *parser) outcome(d *dbconv.Detail, m *message) {
	if m.document == nil {
		return
	}
	var code, name element
	failed := false
	for all := open(m.document); ; {
		e, whole := all.next()
		if e.kind == 0 {
			break
		}
		if !whole {
			continue
		}
		switch string(e.name) {
		case "ok":
			if v, ok := e.number(); ok && v == 0 {
				failed = true
			}
		case "code":
			code = e
		case "codeName":
			name = e
		case "cursor":
			d.Rows = batch(e.value)
		case "writeErrors":
			failed = firstError(e.value, &code, &name) || failed
		case "writeConcernError":
			if code.kind == 0 {
				failed = errorIn(e.value, &code, &name) || failed
			}
		}
	}
	if !failed {
		return
	}
	d.Failed = true
	if v, ok := code.number(); ok {
		p.scratch = strconv.AppendInt(p.scratch[:0], int64(v), 10)
		d.Status = p.host.Strings.String(p.scratch)
	}
	if text := name.text(); len(text) > 0 {
		d.Extra = append(d.Extra, dbconv.Attribute{Key: AttrCodeName, Text: p.host.Strings.String(text)})
	}
}

// batch is how many documents a cursor's batch has, -1 if that cannot be told.
func batch(cursor []byte) int64 {
	for all := open(cursor); ; {
		e, whole := all.next()
		switch {
		case e.kind == 0:
			return -1
		case e.kind == kindArray && (string(e.name) == "firstBatch" || string(e.name) == "nextBatch"):
			if !whole {
				return -1
			}
			return count(e.value)
		}
	}
}

// firstError reads the first of an array of errors.
func firstError(array []byte, code, name *element) bool {
	all := open(array)
	e, whole := all.next()
	return whole && e.kind == kindDocument && errorIn(e.value, code, name)
}

func errorIn(document []byte, code, name *element) bool {
	found := false
	for all := open(document); ; {
		e, whole := all.next()
		if e.kind == 0 {
			return found
		}
		if !whole {
			continue
		}
		switch string(e.name) {
		case "code":
			*code, found = e, true
		case "codeName":
			*name = e
		}
	}
}
