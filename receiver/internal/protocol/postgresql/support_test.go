// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Messages, by the names the documentation gives them.

func msg(typ byte, body string) string {
	return string(binary.BigEndian.AppendUint32([]byte{typ}, uint32(len(body)+4))) + body
}

func startupPacket(code uint32, body string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)+8))
	return string(binary.BigEndian.AppendUint32(b, code)) + body
}

func startupMessage(parameters ...string) string {
	return startupPacket(3<<16, strings.Join(parameters, "\x00")+"\x00\x00")
}

func query(text string) string { return msg('Q', text+"\x00") }
func parse(name, text string, parameters int) string {
	return msg('P', name+"\x00"+text+"\x00"+string([]byte{0, byte(parameters)})+strings.Repeat("\x00\x00\x00\x17", parameters))
}
func bind(portal, name string, values ...string) string {
	b := portal + "\x00" + name + "\x00\x00\x00" + string([]byte{0, byte(len(values))})
	for _, v := range values {
		b += string(binary.BigEndian.AppendUint32(nil, uint32(len(v)))) + v
	}
	return msg('B', b+"\x00\x00")
}
func execute(portal string) string { return msg('E', portal+"\x00\x00\x00\x00\x00") }
func failure(severity, code string) string {
	return msg('E', "S"+severity+"\x00V"+severity+"\x00C"+code+"\x00Mmessage 'x'\x00\x00")
}
func notice(severity, code string) string {
	return msg('N', "S"+severity+"\x00V"+severity+"\x00C"+code+"\x00Mmessage\x00\x00")
}
func complete(tag string) string { return msg('C', tag+"\x00") }
func row(values ...string) string {
	b := string([]byte{0, byte(len(values))})
	for _, v := range values {
		b += string(binary.BigEndian.AppendUint32(nil, uint32(len(v)))) + v
	}
	return msg('D', b)
}

var (
	describePortal    = msg('D', "P\x00")
	syncMessage       = msg('S', "")
	flush             = msg('H', "")
	terminate         = msg('X', "")
	authOK            = msg('R', "\x00\x00\x00\x00")
	keyData           = msg('K', "\x00\x00\x10\x00abcd")
	idle              = msg('Z', "I")
	inTransaction     = msg('Z', "T")
	failedTransaction = msg('Z', "E")
	parseComplete     = msg('1', "")
	bindComplete      = msg('2', "")
	closeComplete     = msg('3', "")
	noData            = msg('n', "")
	suspended         = msg('s', "")
	emptyQuery        = msg('I', "")
	parameterDesc     = msg('t', "\x00\x01\x00\x00\x00\x17")
	rowDesc           = msg('T', "\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00")
)

const (
	sslRequest    = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
	gssRequest    = "\x00\x00\x00\x08\x04\xd2\x16\x30"
	cancelRequest = "\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x10\x00abcd"
)

// parameter is a ParameterStatus.
func parameter(name, value string) string { return msg('S', name+"\x00"+value+"\x00") }

// record is what a test compares of an exchange.
type record struct {
	Summary, Namespace, System, Collection, Status, Error string
	Failed, Cut, Unprepared                               bool
	Rows, Batch                                           int64

	text       string
	start, end uint64
	role       exchange.Role
	failure    exchange.Failure
	identity   exchange.Identity
	name       string
}

func (r *record) String() string {
	s := r.Summary
	if r.text != "" {
		s += " {" + r.text + "}"
	}
	if r.Unprepared {
		s += " unprepared"
	}
	if r.Cut {
		s += " cut"
	}
	if r.Rows >= 0 {
		s += fmt.Sprint(" rows=", r.Rows)
	}
	if r.Batch > 0 {
		s += fmt.Sprint(" batch=", r.Batch)
	}
	if r.Status != "" {
		s += " status=" + r.Status
	}
	if r.Failed {
		s += " failed"
	}
	if r.Error != "" {
		s += " error=" + r.Error
	}
	if r.failure != 0 {
		s += " " + r.failure.ErrorType()
	}
	return strings.TrimSpace(s)
}

// recorder is a Sink that checks the order of calls.
type recorder struct {
	open      map[*exchange.Exchange]exchange.Identity
	seen      map[uint64]bool
	begun     int
	ended     []*record
	abandoned int
	wrong     []string
}

func (r *recorder) complain(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

func (r *recorder) Begin(x *exchange.Exchange) {
	if _, ok := r.open[x]; ok {
		r.complain("begin of an exchange in flight")
	}
	d := x.Detail.(*dbconv.Detail)
	if d.Status != "" || d.Failed || x.End != 0 || x.Failure != 0 || x.InFlight != nil {
		r.complain("begin of an exchange that was used")
	}
	if x.Identity.Seed == 0 || r.seen[x.Identity.Seed] {
		r.complain("begin without an identity of its own")
	}
	r.seen[x.Identity.Seed] = true
	r.open[x] = x.Identity
	r.begun++
	x.InFlight = &exchange.Gauge{}
}

func (r *recorder) close(x *exchange.Exchange) {
	id, ok := r.open[x]
	if !ok {
		r.complain("end without begin")
	}
	if id.Seed != x.Identity.Seed {
		r.complain("identity changed")
	}
	delete(r.open, x)
}

func (r *recorder) End(x *exchange.Exchange) {
	r.close(x)
	if x.End < x.Start {
		r.complain("ends before it starts")
	}
	d := x.Detail.(*dbconv.Detail)
	r.ended = append(r.ended, &record{Summary: d.Summary, Namespace: d.Namespace, System: d.System, Collection: d.Collection, Status: d.Status, Error: d.Error,
		Failed: d.Failed, Cut: d.Cut, Unprepared: d.Unprepared, Rows: d.Rows, Batch: d.Batch,
		text: string(d.Text), start: x.Start, end: x.End, role: x.Role, failure: x.Failure, identity: x.Identity, name: d.SpanName(x)})
}

func (r *recorder) Abandon(x *exchange.Exchange) {
	r.close(x)
	r.abandoned++
}

// harness drives one parser. Its clock advances 10 ns per segment.
type harness struct {
	*recorder
	stats  protocol.Stats
	parser *parser
	req    protocol.Direction
	now    uint64
	offset [2]uint64
	// skipped bytes of mangle, not yet reported as lost.
	skipped [2]int
	err     error
}

func newHarness(role exchange.Role, settings *dbconv.Settings) *harness {
	h := &harness{recorder: &recorder{open: map[*exchange.Exchange]exchange.Identity{}, seen: map[uint64]bool{}}, req: protocol.Received, now: 1000}
	if role == exchange.RoleClient {
		h.req = protocol.Sent
	}
	host := protocol.Host{Connection: &exchange.Connection{Role: role}, Sink: h.recorder, Stats: &h.stats, Strings: intern.New(64)}
	h.parser = New(Options{Settings: settings}).New(host, h.req).(*parser)
	return h
}

func newClient() *harness { return newHarness(exchange.RoleClient, nil) }

// segment passes s, with times and offsets of the harness if it has none.
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
	if h.err == nil {
		h.err = h.parser.Segment(&s)
	}
}

// cut passes b of which only the first n bytes were copied, and the last 8.
func (h *harness) cut(dir protocol.Direction, b string, n int) {
	s := protocol.Segment{Dir: dir, Data: []byte(b[:min(n, len(b))]), Len: len(b)}
	if n < len(b) {
		s.Tail = []byte(b[max(0, len(b)-8):])
	}
	h.segment(s)
}

// play passes a conversation, alternating from a request; "" is left out. Pieces are
// cut by size.
func (h *harness) play(size int, steps ...string) {
	dir := h.req
	for _, s := range steps {
		for len(s) > 0 {
			n := min(size, len(s))
			h.segment(protocol.Segment{Dir: dir, Data: []byte(s[:n])})
			s = s[n:]
		}
		dir = dir.Other()
	}
}

func (h *harness) check(t testing.TB) {
	t.Helper()
	h.parser.Close(h.now+10, exchange.FailureNone)
	require.Empty(t, h.wrong)
	require.Empty(t, h.open, "begun and never ended")
	require.Equal(t, h.begun, len(h.ended)+h.abandoned)
}

func (h *harness) brief(t testing.TB) []string {
	t.Helper()
	h.check(t)
	b := []string{}
	for _, r := range h.ended {
		b = append(b, r.String())
	}
	return b
}
