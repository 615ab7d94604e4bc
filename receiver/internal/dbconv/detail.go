// SPDX-License-Identifier: Apache-2.0

package dbconv

import (
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/xpdata"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
)

// QueryText says what becomes of the texts of queries.
type QueryText uint8

const (
	// TextSanitized: literals are replaced by `?`.
	TextSanitized QueryText = iota
	// TextNone: there is no db.query.text.
	TextNone
	// TextRaw: as it was sent.
	TextRaw
)

// MaxText bounds db.query.text, in bytes; what is longer is cut, and marked with
// ebpf.db.query.truncated.
const MaxText = 8 << 10

// Settings are shared by all exchanges of a protocol.
type Settings struct {
	QueryText QueryText
	// Kernel adds histograms of what only the kernel knows.
	Kernel bool
}

// Detail is the database half of an exchange. It is reused: Reset keeps the buffers.
// What concerns the request must be in place before Sink.Begin and stay until the
// next Reset; what concerns the response, before Sink.End.
//
// Strings that come from the wire have to come through Strings, so that they are valid
// UTF-8 and cost nothing when they are seen again.
type Detail struct {
	Settings *Settings
	Strings  *intern.Table
	// System is db.system.name: postgresql, mysql, redis...
	System string
	// Namespace, Operation, Collection, Summary and Procedure are db.namespace,
	// db.operation.name, db.collection.name, db.query.summary and
	// db.stored_procedure.name; "" where there is none.
	Namespace, Operation, Collection, Summary, Procedure string
	// Text is db.query.text as it is to be reported: parsers apply QueryText. Cut
	// says that the query was longer than what was seen or kept.
	Text []byte
	Cut  bool
	// Status is db.response.status_code, and Failed whether it is an error; then it
	// is error.type too, unless Error says something else.
	Status string
	Failed bool
	Error  string
	// Rows is db.response.returned_rows, -1 if it is not known. Batch is
	// db.operation.batch.size, if it is at least 2.
	Rows, Batch int64
	// Unprepared: the statement was prepared before we came, so that its text is not
	// known.
	Unprepared bool
	// Extra are further attributes of the span.
	Extra []Attribute
	// Numbered: the namespace is only a number, and not in the span's name.
	Numbered bool

	scratch    []byte
	attributes xpdata.MapBuilder // empty between calls
}

// Attribute is a text, or true, or else a number.
type Attribute struct {
	Key, Text string
	Int       int64
	True      bool
}

// Reset prepares the Detail for the next exchange. Settings, Strings, System,
// Namespace, Numbered and the memory of the buffers stay.
func (d *Detail) Reset() {
	d.Operation, d.Collection, d.Summary, d.Procedure = "", "", "", ""
	d.Text, d.Cut = d.Text[:0], false
	d.Status, d.Failed, d.Error = "", false, ""
	d.Rows, d.Batch = -1, 0
	d.Unprepared = false
	d.Extra = d.Extra[:0]
}

var _ exchange.Detail = (*Detail)(nil)

// Suppressed implements exchange.Detail.
func (d *Detail) Suppressed(*exchange.Exchange) (traces, metrics bool) { return false, false }

// SpanName implements exchange.Detail: the summary, else the operation and what it
// is about, else either, else the system.
func (d *Detail) SpanName(x *exchange.Exchange) string {
	if d.Summary != "" {
		return d.Summary
	}
	target := d.Collection
	if target == "" {
		target = d.Procedure
	}
	if target == "" && !d.Numbered {
		target = d.Namespace
	}
	if target == "" {
		if address, port := x.ServerAddress(); address != "" && port != 0 {
			d.scratch = strconv.AppendInt(append(append(d.scratch[:0], address...), ':'), int64(port), 10)
			target = d.Strings.String(d.scratch)
		}
	}
	switch {
	case d.Operation == "" && target == "":
		return d.System
	case d.Operation == "":
		return target
	case target == "":
		return d.Operation
	}
	d.scratch = append(append(append(d.scratch[:0], d.Operation...), ' '), target...)
	return d.Strings.String(d.scratch)
}

// SpanKind implements exchange.Detail.
func (d *Detail) SpanKind(x *exchange.Exchange) ptrace.SpanKind {
	if x.Role == exchange.RoleClient {
		return ptrace.SpanKindClient
	}
	return ptrace.SpanKindServer
}

// SpanStatus implements exchange.Detail.
func (d *Detail) SpanStatus(x *exchange.Exchange) ptrace.StatusCode {
	if d.errorType(x) != "" {
		return ptrace.StatusCodeError
	}
	return ptrace.StatusCodeUnset
}

// errorType is the value of error.type, "" for success.
func (d *Detail) errorType(x *exchange.Exchange) string {
	switch {
	case d.Error != "":
		return d.Error
	case d.Failed && d.Status != "":
		return d.Status
	case d.Failed:
		return "_OTHER"
	}
	return x.Failure.ErrorType()
}

// PutSpanAttributes implements exchange.Detail.
func (d *Detail) PutSpanAttributes(x *exchange.Exchange, m pcommon.Map) {
	b := &d.attributes
	b.EnsureCapacity(m.Len() + 16 + len(d.Extra) + x.KernelAttributes())
	for k, v := range m.All() {
		v.CopyTo(b.AppendEmpty(k))
	}
	b.AppendEmpty(attrSystem).SetStr(d.System)
	put := func(key, value string) {
		if value != "" {
			b.AppendEmpty(key).SetStr(value)
		}
	}
	put(attrNamespace, d.Namespace)
	put(attrOperation, d.Operation)
	put(attrCollection, d.Collection)
	put(attrProcedure, d.Procedure)
	put(attrSummary, d.Summary)
	if len(d.Text) > 0 {
		b.AppendEmpty(attrText).SetStr(d.Strings.String(d.Text))
	}
	if d.Cut {
		b.AppendEmpty(attrTruncated).SetBool(true)
	}
	if d.Unprepared {
		b.AppendEmpty(attrUnprepared).SetBool(true)
	}
	put(attrStatus, d.Status)
	put(attrErrorType, d.errorType(x))
	if d.Rows >= 0 {
		b.AppendEmpty(attrRows).SetInt(d.Rows)
	}
	if d.Batch >= 2 {
		b.AppendEmpty(attrBatch).SetInt(d.Batch)
	}
	for i := range d.Extra {
		switch e := &d.Extra[i]; {
		case e.Text != "":
			b.AppendEmpty(e.Key).SetStr(e.Text)
		case e.True:
			b.AppendEmpty(e.Key).SetBool(true)
		default:
			b.AppendEmpty(e.Key).SetInt(e.Int)
		}
	}
	x.PutAddresses(b)
	x.PutKernelAttributes(b)
	b.UnsafeIntoMap(m)
}
