// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"bytes"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/sqltext"
)

// described is what is said of a statement beside its text.
type described struct {
	summary, operation, collection string
	cut                            bool
}

// consistencies are the values of cassandra.consistency.level, by their codes (chapter 3,
// [consistency]).
var consistencies = [...]string{
	"any", "one", "two", "three", "quorum", "all", "local_quorum", "each_quorum", "serial", "local_serial", "local_one",
}

// request begins the exchange of a frame; body may be cut, and is nil if it could not be
// decompressed. False is a body that cannot be.
func (p *parser) request(t *stream.Stream, h *header, body []byte, short bool) bool {
	switch h.op {
	case opStartup:
		p.startup(body)
	case opQuery, opPrepare, opExecute, opBatch:
	default: // OPTIONS, REGISTER, AUTH_RESPONSE
		if sl := p.begin(t, h); sl != nil {
			sl.silent = true
		}
		return true
	}
	r := reader{b: body}
	r.prologue(h)
	if !short && !plausible(h.op, r) {
		return false
	}
	sl := p.begin(t, h)
	if sl == nil {
		return true
	}
	if h.op == opStartup {
		sl.silent = true
		return true
	}
	switch h.op {
	case opQuery:
		p.query(sl, &r, h.v())
	case opPrepare:
		p.prepare(sl, &r, h.v())
	case opExecute:
		p.execute(sl, &r, h.v())
	case opBatch:
		p.batch(sl, &r, h.v())
	}
	if len(sl.d.Text) > dbconv.MaxText {
		sl.d.Text, sl.d.Cut = sl.d.Text[:dbconv.MaxText], true
	}
	p.host.Sink.Begin(&sl.x)
	return true
}

// plausible judges the beginning of a whole body.
func plausible(op byte, r reader) bool {
	switch op {
	case opQuery, opPrepare:
		_, short := r.long()
		return !short
	case opExecute:
		return len(r.string()) > 0
	case opBatch:
		return r.byte() <= 2 && !r.bad
	}
	return true
}

// startup looks for the option COMPRESSION.
func (p *parser) startup(body []byte) {
	r := reader{b: body}
	p.algorithm = unknownAlgorithm
	for n := r.short(); n > 0 && !r.bad; n-- {
		key, value := r.string(), r.string()
		if string(key) != "COMPRESSION" {
			continue
		}
		switch {
		case bytes.EqualFold(value, []byte("lz4")):
			p.algorithm = algorithmLZ4
		case bytes.EqualFold(value, []byte("snappy")):
			p.algorithm = algorithmSnappy
		}
	}
}

// describe appends what is to be reported of a text to dst.
func (p *parser) describe(dst, text []byte, short, prepared bool) ([]byte, described) {
	whole := text
	if short {
		text = sqltext.Trim(text)
	}
	var q sqltext.Query
	at := len(dst)
	if p.settings.QueryText == dbconv.TextSanitized {
		dst, q = sqltext.Analyze(dst, text, sqltext.CQL, p.host.Strings)
		if prepared && q.Parameterized {
			dst = append(dst[:at], text...)
		}
	} else {
		q = sqltext.Describe(text, sqltext.CQL, p.host.Strings)
		if p.settings.QueryText == dbconv.TextRaw {
			dst = append(dst, whole...)
		}
	}
	if len(dst)-at > dbconv.MaxText {
		dst, short = dst[:at+dbconv.MaxText], true
	}
	return dst, described{q.Summary.Summary, q.Operation, q.Collection, short && p.settings.QueryText != dbconv.TextNone}
}

// say fills a Detail with what is said of a statement.
func (q *described) say(d *dbconv.Detail) {
	d.Summary, d.Operation, d.Collection, d.Cut = q.summary, q.operation, q.collection, q.cut
}

// tell fills a Detail with parameters.
func (p *parser) tell(d *dbconv.Detail, q parameters) {
	if q.consistency >= 0 && q.consistency < len(consistencies) {
		d.Extra = append(d.Extra, dbconv.Attribute{Key: attrConsistency, Text: consistencies[q.consistency]})
	}
	if q.pageSize > 0 {
		d.Extra = append(d.Extra, dbconv.Attribute{Key: attrPageSize, Int: int64(q.pageSize)})
	}
	if len(q.keyspace) > 0 {
		d.Namespace = p.host.Strings.String(q.keyspace)
	}
}

// query is QUERY (section 4.1.4).
func (p *parser) query(sl *slot, r *reader, version byte) {
	d := &sl.d
	text, short := r.long()
	if text == nil {
		d.Operation = "QUERY"
		sl.use = true // who knows
		return
	}
	var q described
	d.Text, q = p.describe(d.Text, text, short, false)
	q.say(d)
	sl.use = strings.EqualFold(q.operation, "USE") || len(text) > 3 && bytes.EqualFold(text[:3], []byte("USE"))
	p.tell(d, r.parameters(version))
}

// prepare is PREPARE (section 4.1.5).
func (p *parser) prepare(sl *slot, r *reader, version byte) {
	d := &sl.d
	d.Operation = "PREPARE"
	text, short := r.long()
	if text == nil {
		return
	}
	d.Text, sl.prepared = p.describe(d.Text, text, short, true)
	sl.prepare = true
	d.Collection, d.Cut = sl.prepared.collection, sl.prepared.cut
	d.Summary = p.behind("PREPARE", sl.prepared.summary)
	if version >= 5 && r.int()&1 != 0 {
		if keyspace := r.string(); len(keyspace) > 0 {
			d.Namespace = p.host.Strings.String(keyspace)
		}
	}
}

// behind puts a word before a summary.
func (p *parser) behind(word, summary string) string {
	if summary == "" {
		return ""
	}
	p.scratch = append(append(append(p.scratch[:0], word...), ' '), summary...)
	return p.host.Strings.String(p.scratch[:min(len(p.scratch), sqltext.MaxSummary)])
}

// execute is EXECUTE (section 4.1.6).
func (p *parser) execute(sl *slot, r *reader, version byte) {
	d := &sl.d
	id := r.string()
	if s := p.statements.get(id); s != nil && len(id) > 0 {
		s.say(d)
		d.Text = append(d.Text, s.text...)
	} else {
		d.Operation, d.Unprepared = "EXECUTE", true
	}
	if version >= 5 {
		r.string() // id of the result's metadata
	}
	p.tell(d, r.parameters(version))
}

// batch is BATCH (section 4.1.7).
func (p *parser) batch(sl *slot, r *reader, version byte) {
	d := &sl.d
	d.Operation = "BATCH"
	if len(r.b) == 0 {
		return
	}
	r.byte()
	n := r.short()
	if r.bad {
		return
	}
	d.Batch = int64(n)
	var same described
	var last []byte // the text, or the id, of the one before
	alike := true
	for i := 0; i < n && !r.bad; i++ {
		prepared := r.byte() == 1
		var what []byte
		short := false
		if prepared {
			what = r.string()
		} else {
			what, short = r.long()
		}
		if what == nil {
			break
		}
		if i == 0 || !bytes.Equal(what, last) {
			q := p.member(d, what, short, prepared)
			if i == 0 {
				same = q
			}
			alike = alike && q.summary == same.summary && q.operation == same.operation && q.collection == same.collection
		}
		last = what
		r.values(r.short(), false)
	}
	if p.settings.QueryText != dbconv.TextNone {
		d.Cut = d.Cut || r.bad
	}
	if r.bad || !alike || same.summary == "" {
		d.Summary = "BATCH"
	} else {
		d.Summary = p.behind("BATCH", same.summary)
		d.Collection = same.collection
		if same.operation != "" {
			d.Operation = p.behind("BATCH", same.operation)
		}
	}
	if r.bad {
		return
	}
	q := parameters{consistency: r.short()}
	if r.bad {
		return
	}
	r.keyspace(&q, r.flags(version), version)
	p.tell(d, q)
}

// member adds one statement to the text of a batch.
func (p *parser) member(d *dbconv.Detail, what []byte, short, prepared bool) (q described) {
	at := len(d.Text)
	if at > dbconv.MaxText {
		d.Cut = true
		if !prepared {
			_, q = p.describe(p.scratch[:0], what, short, false)
			return q
		}
	}
	if at > 0 {
		d.Text = append(d.Text, "; "...)
	}
	from := len(d.Text)
	if prepared {
		if s := p.statements.get(what); s != nil {
			q = s.described
			d.Text = append(d.Text, s.text...)
		} else {
			d.Unprepared = true
		}
	} else {
		d.Text, q = p.describe(d.Text, what, short, false)
	}
	if len(d.Text) == from {
		d.Text = d.Text[:at]
	}
	d.Cut = d.Cut || q.cut
	return q
}
