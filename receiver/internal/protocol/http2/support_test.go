// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"bytes"
	"fmt"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/rpcconv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// side writes frames as one end of a connection does.
type side struct {
	out     bytes.Buffer
	framer  *xhttp2.Framer
	table   bytes.Buffer
	encoder *hpack.Encoder
	// offsets are where frames begin.
	offsets []int
}

func newSide() *side {
	s := &side{}
	s.framer = xhttp2.NewFramer(&s.out, nil)
	s.framer.AllowIllegalWrites = true
	s.encoder = hpack.NewEncoder(&s.table)
	return s
}

// fields are name, value, name, value...
func (s *side) section(fields ...string) []byte {
	s.table.Reset()
	for i := 0; i < len(fields); i += 2 {
		if err := s.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			panic(err)
		}
	}
	return bytes.Clone(s.table.Bytes())
}

func (s *side) headers(id uint32, end bool, fields ...string) *side {
	s.offsets = append(s.offsets, s.out.Len())
	_ = s.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: s.section(fields...), EndStream: end, EndHeaders: true})
	return s
}

func (s *side) data(id uint32, end bool, b string) *side {
	s.offsets = append(s.offsets, s.out.Len())
	_ = s.framer.WriteData(id, end, []byte(b))
	return s
}

func (s *side) reset(id uint32, code xhttp2.ErrCode) *side {
	_ = s.framer.WriteRSTStream(id, code)
	return s
}

func (s *side) settings(settings ...xhttp2.Setting) *side {
	_ = s.framer.WriteSettings(settings...)
	return s
}

func (s *side) raw(b string) *side {
	s.out.WriteString(b)
	return s
}

// take returns what was written since.
func (s *side) take() []byte {
	b := bytes.Clone(s.out.Bytes())
	s.out.Reset()
	s.offsets = nil
	return b
}

// record is what a test compares of an exchange.
type record struct {
	kind                      string // http, grpc, web
	method, target, host      string
	status                    int
	code, failed              string
	requestBody, responseBody int64
	start, end                uint64
	role                      exchange.Role
	failure                   exchange.Failure
	remote                    exchange.Remote
	identity                  exchange.Identity
	measured                  exchange.Measured
	connect                   string
}

func (r record) String() string {
	s := fmt.Sprintf("%s %s %s", r.kind, r.method, r.target)
	if r.kind == "http" {
		s += fmt.Sprintf(" %d %d/%d", r.status, r.requestBody, r.responseBody)
	} else {
		s += " " + r.code
	}
	if r.failed != "" {
		s += " " + r.failed
	}
	if r.failure != exchange.FailureNone {
		s += " " + r.failure.ErrorType()
	}
	return s
}

// recorder is a Sink that checks the order of calls.
type recorder struct {
	open      map[*exchange.Exchange]string
	ended     []record
	began     int
	abandoned int
	wrong     []string
}

func (r *recorder) complain(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

func target(x *exchange.Exchange) string {
	switch d := x.Detail.(type) {
	case *httpconv.Detail:
		return string(d.Target)
	case *rpcconv.Detail:
		return string(d.Path)
	}
	return ""
}

func (r *recorder) Begin(x *exchange.Exchange) {
	if _, ok := r.open[x]; ok {
		r.complain("begin of an exchange in flight")
	}
	if target(x) == "" || x.Identity.Seed == 0 || x.Identity.Trace == 0 || x.InFlight != nil || x.End != 0 || x.Failure != 0 {
		r.complain("begin of an exchange that is not new: %+v", x)
	}
	r.open[x] = target(x)
	r.began++
	x.InFlight = &exchange.Gauge{}
}

func (r *recorder) close(x *exchange.Exchange) {
	if was, ok := r.open[x]; !ok || was != target(x) {
		r.complain("end of %q, which began as %q (%v)", target(x), was, ok)
	}
	delete(r.open, x)
}

func (r *recorder) End(x *exchange.Exchange) {
	r.close(x)
	if x.End < x.Start {
		r.complain("ends before it starts")
	}
	e := record{
		start: x.Start, end: x.End, role: x.Role, failure: x.Failure, remote: x.Remote, identity: x.Identity,
		measured: x.Measured, target: target(x),
	}
	switch d := x.Detail.(type) {
	case *httpconv.Detail:
		e.kind, e.method, e.host, e.status, e.failed, e.connect = "http", string(d.Method), string(d.Host), d.Status, d.Error, d.Connect
		e.requestBody, e.responseBody = d.RequestBody, d.ResponseBody
	case *rpcconv.Detail:
		e.kind, e.method, e.host, e.code, e.failed = "grpc", "POST", string(d.Authority), d.Code.String(), d.Error
		if d.Web {
			e.kind = "web"
		}
	}
	r.ended = append(r.ended, e)
}

func (r *recorder) Abandon(x *exchange.Exchange) {
	r.close(x)
	r.abandoned++
}

// harness drives one parser, between a client and a server. Its clock advances 10 ns
// per segment.
type harness struct {
	*recorder
	stats          protocol.Stats
	parser         protocol.Parser
	req            protocol.Direction
	now            uint64
	at             [2]uint64
	pending        [2]uint64 // lost, and not told of yet
	err            error
	client, server *side
}

func newHarness(role exchange.Role) *harness {
	h := &harness{recorder: &recorder{open: map[*exchange.Exchange]string{}}, now: 1000, client: newSide(), server: newSide()}
	if role == exchange.RoleClient {
		h.req = protocol.Sent
	}
	host := protocol.Host{Connection: &exchange.Connection{Role: role}, Sink: h.recorder, Stats: &h.stats}
	h.parser = New(Options{HTTP: true, GRPC: true}).New(host, h.req)
	return h
}

// begun is a harness with the prefaces exchanged.
func begun(role exchange.Role) *harness {
	h := newHarness(role)
	h.client.raw(preface).settings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 20})
	h.server.settings()
	h.flush()
	return h
}

func (h *harness) segment(s protocol.Segment) {
	h.now += 10
	if s.Time == 0 {
		s.Time, s.First = h.now, h.now-1
	}
	if s.Len == 0 {
		s.Len = len(s.Data)
	}
	s.Offset = h.at[s.Dir] + s.Lost
	s.Lost += h.pending[s.Dir]
	h.pending[s.Dir] = 0
	h.at[s.Dir] = s.Offset + uint64(s.Len)
	if h.err == nil {
		h.err = h.parser.Segment(&s)
	}
}

// skip is for bytes that moved before the connection was seen: they are not lost.
func (h *harness) skip(int, int) {}

func (h *harness) send(dir protocol.Direction, b []byte) {
	if len(b) > 0 {
		h.segment(protocol.Segment{Dir: dir, Data: b})
	}
}

// flush passes what both sides have written, the client's first.
func (h *harness) flush() {
	h.send(h.req, h.client.take())
	h.send(h.req.Other(), h.server.take())
}

func (h *harness) close(cause exchange.Failure) {
	h.now += 10
	h.parser.Close(h.now, cause)
}

// check closes the parser and asserts that the Sink was called properly.
func (h *harness) check(t testing.TB) {
	t.Helper()
	h.parser.Close(h.now, exchange.FailureNone)
	require.Empty(t, h.wrong)
	require.Empty(t, h.open, "begun and never ended")
	require.Equal(t, h.began, len(h.ended)+h.abandoned)
}

func (h *harness) brief(t testing.TB) []string {
	t.Helper()
	h.check(t)
	var b []string
	for _, r := range h.ended {
		b = append(b, r.String())
	}
	sort.Strings(b)
	return b
}

func get(path string) []string {
	return []string{":method", "GET", ":scheme", "http", ":authority", "example.org", ":path", path, "user-agent", "test"}
}

func call1(path string, more ...string) []string {
	return append([]string{
		":method", "POST", ":scheme", "http", ":path", path, ":authority", "example.org", "content-type", "application/grpc",
		"user-agent", "test", "te", "trailers",
	}, more...)
}
