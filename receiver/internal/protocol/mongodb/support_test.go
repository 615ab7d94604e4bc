// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// recorder is a Sink that checks the order of calls and keeps a line per exchange.
type recorder struct {
	open      map[*exchange.Exchange]bool
	lines     []string
	times     [][2]uint64
	details   []detail
	abandoned int
	wrong     []string
}

func (r *recorder) Begin(x *exchange.Exchange) {
	if r.open[x] || x.InFlight != nil || x.Identity.Seed == 0 || x.End != 0 {
		r.wrong = append(r.wrong, "begin")
	}
	r.open[x] = true
	x.InFlight = &exchange.Gauge{}
}

func (r *recorder) close(x *exchange.Exchange) {
	if !r.open[x] {
		r.wrong = append(r.wrong, "end without begin")
	}
	delete(r.open, x)
}

func (r *recorder) End(x *exchange.Exchange) {
	r.close(x)
	d := x.Detail.(*dbconv.Detail)
	line := d.SpanName(x)
	if len(d.Text) > 0 {
		line += " " + string(d.Text)
	}
	if d.Rows >= 0 {
		line += fmt.Sprintf(" rows=%d", d.Rows)
	}
	if d.Failed {
		line += " error=" + d.Status
	}
	if d.Batch > 0 {
		line += fmt.Sprintf(" batch=%d", d.Batch)
	}
	if d.Namespace != "" {
		line += " in " + d.Namespace
	}
	if d.Cut {
		line += " cut"
	}
	if f := x.Failure.ErrorType(); f != "" {
		line += " " + f
	}
	r.lines = append(r.lines, line)
	r.times = append(r.times, [2]uint64{x.Start, x.End})
	r.details = append(r.details, detail{
		System: d.System, Summary: d.Summary, Collection: d.Collection, Status: d.Status,
		Rows: d.Rows, Failed: d.Failed, Cut: d.Cut, Extra: append([]dbconv.Attribute(nil), d.Extra...),
	})
}

func (r *recorder) Abandon(x *exchange.Exchange) {
	r.close(x)
	r.abandoned++
}

// detail is what tests look at one by one.
type detail struct {
	System, Summary, Collection, Status string
	Rows                                int64
	Failed, Cut                         bool
	Extra                               []dbconv.Attribute
}

// harness drives one parser. Its clock advances 10 ns per segment.
type harness struct {
	recorder
	stats  protocol.Stats
	parser protocol.Parser
	req    protocol.Direction
	now    uint64
	offset [2]uint64
	err    error
}

func newHarness(role exchange.Role, settings *dbconv.Settings) *harness {
	h := &harness{recorder: recorder{open: map[*exchange.Exchange]bool{}}, now: 1000}
	if role == exchange.RoleClient {
		h.req = protocol.Sent
	}
	h.parser = New(Options{Settings: settings}).New(protocol.Host{
		Connection: &exchange.Connection{Role: role}, Sink: &h.recorder, Stats: &h.stats, Strings: intern.New(0),
	}, h.req)
	return h
}

func newClient() *harness { return newHarness(exchange.RoleClient, nil) }

func (h *harness) segment(s protocol.Segment) {
	h.now += 10
	if s.Time == 0 {
		s.Time, s.First = h.now, h.now-1
	}
	if s.Len == 0 {
		s.Len = len(s.Data)
	}
	h.offset[s.Dir] += s.Lost
	s.Offset = h.offset[s.Dir]
	h.offset[s.Dir] += uint64(s.Len)
	// Bytes of a segment are valid during the call only.
	s.Data = append([]byte(nil), s.Data...)
	s.Tail = append([]byte(nil), s.Tail...)
	if h.err == nil {
		h.err = h.parser.Segment(&s)
	}
	for i := range s.Data {
		s.Data[i] = 0xaa
	}
	for i := range s.Tail {
		s.Tail[i] = 0xaa
	}
}

func (h *harness) client(b string) { h.segment(protocol.Segment{Dir: h.req, Data: []byte(b)}) }
func (h *harness) server(b string) {
	h.segment(protocol.Segment{Dir: h.req.Other(), Data: []byte(b)})
}

// part passes b of which only the first n bytes were copied.
func (h *harness) part(dir protocol.Direction, b string, n int) {
	h.segment(protocol.Segment{Dir: dir, Data: []byte(b[:n]), Len: len(b), Tail: tail(b, n)})
}

func tail(b string, copied int) []byte {
	if copied >= len(b) {
		return nil
	}
	return []byte(b[max(0, len(b)-8):])
}

func (h *harness) finish(t testing.TB) []string {
	t.Helper()
	h.parser.Close(h.now, exchange.FailureNone)
	require.Empty(t, h.wrong)
	require.Empty(t, h.open)
	return h.lines
}

// BSON and messages.

func le(v uint64, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(v >> (8 * i))
	}
	return string(b)
}

// array is a BSON array.
type array []any

// document makes one of names and values.
func document(fields ...any) string {
	var b string
	for i := 0; i < len(fields); i += 2 {
		name := fields[i].(string) + "\x00"
		switch v := fields[i+1].(type) {
		case string:
			b += "\x02" + name + le(uint64(len(v)+1), 4) + v + "\x00"
		case int:
			b += "\x10" + name + le(uint64(v), 4)
		case int64:
			b += "\x12" + name + le(uint64(v), 8)
		case float64:
			b += "\x01" + name + le(math.Float64bits(v), 8)
		case bool:
			b += "\x08" + name + map[bool]string{true: "\x01", false: "\x00"}[v]
		case nil:
			b += "\x0a" + name
		case []any:
			b += "\x03" + name + document(v...)
		case array:
			var elements []any
			for k, e := range v {
				elements = append(elements, fmt.Sprint(k), e)
			}
			b += "\x04" + name + document(elements...)
		}
	}
	return le(uint64(len(b)+5), 4) + b + "\x00"
}

func wrap(id, response, op int, body string) string {
	return le(uint64(len(body)+headSize), 4) + le(uint64(id), 4) + le(uint64(response), 4) + le(uint64(op), 4) + body
}

func msg(id, response int, flags uint64, doc string, sections ...string) string {
	body := le(flags, 4) + "\x00" + doc
	for _, s := range sections {
		body += s
	}
	return wrap(id, response, opMsg, body)
}

// documents is a section of kind 1.
func documents(name string, docs ...string) string {
	b := name + "\x00"
	for _, d := range docs {
		b += d
	}
	return "\x01" + le(uint64(len(b)+4), 4) + b
}

func find(id int, collection string) string {
	return msg(id, 0, 0, document("find", collection, "filter", []any{"name", "secret", "n", []any{"$in", array{1, 2, 3}}}, "limit", 7,
		"lsid", []any{"id", "x"}, "$db", "shop"))
}

func found(id, response int, docs ...any) string {
	return msg(id, response, 0, document("cursor", []any{"firstBatch", array(docs), "id", int64(0), "ns", "shop.items"}, "ok", 1.0))
}
