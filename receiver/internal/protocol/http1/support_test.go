// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// record is what a test compares of an exchange.
type record struct {
	Method, Target, Host, UserAgent string
	Version                         httpconv.Version
	Status                          int
	RequestBody, ResponseBody       int64
	Start, End                      uint64
	PID                             uint32
	Role                            exchange.Role
	Failure                         exchange.Failure
	Remote                          exchange.Remote
}

func (r record) String() string {
	return fmt.Sprintf("%s %s -> %d, body %d/%d, time %d-%d, failure %q", r.Method, r.Target, r.Status,
		r.RequestBody, r.ResponseBody, r.Start, r.End, r.Failure.ErrorType())
}

// recorder is a Sink that checks the order of calls.
type recorder struct {
	open       map[*exchange.Exchange]exchange.Identity
	identities []exchange.Identity
	ended      []record
	abandoned  int
	wrong      []string
}

func newRecorder() *recorder {
	return &recorder{open: map[*exchange.Exchange]exchange.Identity{}}
}

func (r *recorder) complain(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

func (r *recorder) Begin(x *exchange.Exchange) {
	if _, ok := r.open[x]; ok {
		r.complain("begin of an exchange in flight")
	}
	d := x.Detail.(*httpconv.Detail)
	if len(d.Method) == 0 || len(d.Target) == 0 || d.Version == 0 || d.Settings == nil {
		r.complain("begin without a request")
	}
	if d.Status != 0 || x.End != 0 || x.Failure != 0 || x.InFlight != nil {
		r.complain("begin of an exchange that was used")
	}
	if x.Identity.Seed == 0 || x.Identity.Trace == 0 {
		r.complain("begin without an identity")
	}
	r.open[x] = x.Identity
	r.identities = append(r.identities, x.Identity)
	x.InFlight = &exchange.Gauge{}
}

func (r *recorder) close(x *exchange.Exchange) {
	id, ok := r.open[x]
	if !ok {
		r.complain("end without begin")
	}
	if id != x.Identity {
		r.complain("identity changed")
	}
	delete(r.open, x)
}

func (r *recorder) End(x *exchange.Exchange) {
	r.close(x)
	d := x.Detail.(*httpconv.Detail)
	if x.End < x.Start {
		r.complain("ends before it starts")
	}
	r.ended = append(r.ended, record{
		Method: string(d.Method), Target: string(d.Target), Host: string(d.Host), UserAgent: string(d.UserAgent),
		Version: d.Version, Status: d.Status, RequestBody: d.RequestBody, ResponseBody: d.ResponseBody,
		Start: x.Start, End: x.End, PID: x.PID, Role: x.Role, Failure: x.Failure, Remote: x.Remote,
	})
}

func (r *recorder) Abandon(x *exchange.Exchange) {
	r.close(x)
	r.abandoned++
}

// harness drives one parser. Its clock advances 10 ns per segment.
type harness struct {
	*recorder
	stats  protocol.Stats
	parser protocol.Parser
	req    protocol.Direction
	now    uint64
	err    error
}

func newHarness(role exchange.Role, req protocol.Direction) *harness {
	h := &harness{recorder: newRecorder(), req: req, now: 1000}
	host := protocol.Host{Connection: &exchange.Connection{Role: role}, Sink: h.recorder, Stats: &h.stats}
	h.parser = New(Options{}).New(host, req)
	return h
}

func newClient() *harness { return newHarness(exchange.RoleClient, protocol.Sent) }
func newServer() *harness { return newHarness(exchange.RoleServer, protocol.Received) }

// segment passes s, with times from the harness's clock if it has none.
func (h *harness) segment(s protocol.Segment) {
	h.now += 10
	if s.Time == 0 {
		s.Time, s.First = h.now, h.now-1
	}
	if s.Len == 0 {
		s.Len = len(s.Data)
	}
	if h.err == nil {
		h.err = h.parser.Segment(&s)
	}
}

func (h *harness) request(b string) { h.segment(protocol.Segment{Dir: h.req, Data: []byte(b)}) }
func (h *harness) response(b string) {
	h.segment(protocol.Segment{Dir: h.req.Other(), Data: []byte(b)})
}

// requestAfter passes b after lost bytes that were not seen.
func (h *harness) requestAfter(lost int, b string) {
	h.segment(protocol.Segment{Dir: h.req, Data: []byte(b), Lost: uint64(lost)})
}

func (h *harness) responseAfter(lost int, b string) {
	h.segment(protocol.Segment{Dir: h.req.Other(), Data: []byte(b), Lost: uint64(lost)})
}

// truncated passes b of which only the first n bytes were copied.
func (h *harness) truncated(dir protocol.Direction, b string, n int) {
	h.segment(protocol.Segment{Dir: dir, Data: []byte(b[:n]), Len: len(b), Tail: tailOf(b, n)})
}

func tailOf(b string, copied int) []byte {
	if copied >= len(b) {
		return nil
	}
	return []byte(b[max(0, len(b)-8):])
}

func (h *harness) end(dir protocol.Direction, cause exchange.Failure) {
	h.now += 10
	h.parser.End(protocol.End{Dir: dir, Time: h.now, Cause: cause})
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
	require.Len(t, h.identities, len(h.ended)+h.abandoned)
	seen := map[exchange.Identity]bool{}
	for _, id := range h.identities {
		require.False(t, seen[id], "identity used twice")
		seen[id] = true
	}
}

// brief is the part of the exchanges most tests are about.
func (h *harness) brief(t testing.TB) []string {
	t.Helper()
	h.check(t)
	var b []string
	for _, r := range h.ended {
		s := fmt.Sprintf("%s %s %d %d/%d", r.Method, r.Target, r.Status, r.RequestBody, r.ResponseBody)
		if r.Failure != exchange.FailureNone {
			s += " " + r.Failure.ErrorType()
		}
		b = append(b, s)
	}
	return b
}
