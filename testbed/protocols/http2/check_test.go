// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
)

// expectation is what one process did as one side.
type expectation struct {
	name   string
	pid    int
	client bool
	calls  []call
	// reached are calls that the other end knows of; nil if nobody asked it. What
	// was cancelled may never have reached it.
	reached map[string]bool
}

func paths(calls []call) map[string]bool {
	m := map[string]bool{}
	for _, c := range calls {
		m[c.Path] = true
	}
	return m
}

// result counts what is right and wrong.
type result struct {
	expected, found                          int
	missing, bogus, duplicates, wrong, times []string
	// close are calls of which the end may be put down to their deadline or not.
	close int
}

func kindOf(path string) string {
	path = strings.TrimPrefix(strings.TrimPrefix(path, "/truth."), "/truth/")
	kind, _, _ := strings.Cut(path, "/")
	return kind
}

// isCancelled: a call that a client gives up while the server is at it.
func isCancelled(path string) bool {
	k := kindOf(path)
	return k == "slow" || k == "cancelled"
}

// slowTimeout is the deadline of slow calls. What becomes of them shows as RST_STREAM with
// CANCEL, from either side, and the only thing on the wire that tells a deadline from a
// cancellation is grpc-timeout, which a client writes down before its request is sent:
// early is how much before.
const (
	slowTimeout = 10 * time.Millisecond
	early       = 2*time.Millisecond + slowTimeout/50
)

// closeCall reports whether a client may say one thing of a slow call and its span the
// other: one that went on for its whole timeout was cancelled by its deadline as far as
// the wire tells, though the client may have heard from the server before its own timer
// (whose clock may be behind); one that ended earlier was not, though the client's
// timeout may have begun long before the request was sent.
func closeCall(path, code, want string, s *groundtruth.Span) bool {
	length := time.Duration(s.End - s.Start)
	switch {
	case kindOf(path) != "slow":
		return false
	case want == "CANCELLED" && code == "DEADLINE_EXCEEDED":
		return length >= slowTimeout-early
	case want == "DEADLINE_EXCEEDED" && code == "CANCELLED":
		return length < slowTimeout
	}
	return false
}

// pathOf is the path of a span's request and what became of it.
func pathOf(s *groundtruth.Span) (path, code string) {
	if m := s.Text("rpc.method"); m != "" {
		return "/" + m, s.Text("rpc.response.status_code")
	}
	path = s.Text("url.path")
	if full := s.Text("url.full"); full != "" {
		if u, err := url.Parse(full); err == nil {
			path = u.Path
		}
	}
	return path, s.Text("http.response.status_code")
}

// compare checks the spans of a process against what it says.
func compare(e *expectation, spans []*groundtruth.Span) *result {
	r := &result{}
	want := map[string]*call{}
	for i := range e.calls {
		want[e.calls[i].Path] = &e.calls[i]
	}
	seen := map[string]bool{}
	kind := ptrace.SpanKindServer
	if e.client {
		kind = ptrace.SpanKindClient
	}
	for _, s := range spans {
		if s.PID() != e.pid || s.Kind != kind {
			continue
		}
		path, code := pathOf(s)
		c := want[path]
		switch {
		case c == nil:
			r.bogus = append(r.bogus, fmt.Sprintf("%s %s", s.Name, path))
			continue
		case seen[path]:
			r.duplicates = append(r.duplicates, path)
			continue
		}
		seen[path] = true
		r.found++
		right := code == c.Code
		if !e.client && isCancelled(path) {
			// Which of its clock and the client's news comes first is chance.
			right = code == "CANCELLED" || code == "DEADLINE_EXCEEDED"
		} else if !right && closeCall(path, code, c.Code, s) {
			right = true
			r.close++
		}
		if !right {
			r.wrong = append(r.wrong, fmt.Sprintf("%s: %q, expected %q", path, code, c.Code))
		}
		r.attributes(s, c, e.client)
		const slack = int64(10 * time.Millisecond)
		// A client has given a call up before one of its threads writes that to the server.
		late := s.End > c.End+slack && !isCancelled(path)
		if e.client && (s.Start < c.Start-slack || late) {
			r.times = append(r.times, fmt.Sprintf("%s: span %d to %d us, call 0 to %d us", path,
				(s.Start-c.Start)/1000, (s.End-c.Start)/1000, (c.End-c.Start)/1000))
		}
	}
	for path := range want {
		if isCancelled(path) && e.reached != nil && !e.reached[path] && !seen[path] {
			continue
		}
		r.expected++
		if !seen[path] {
			r.missing = append(r.missing, path)
		}
	}
	return r
}

// attributes checks what conventions ask for.
func (r *result) attributes(s *groundtruth.Span, c *call, client bool) {
	wrong := func(format string, args ...any) {
		r.wrong = append(r.wrong, c.Path+": "+fmt.Sprintf(format, args...))
	}
	if strings.HasPrefix(c.Path, "/truth.") {
		failed := s.Text("error.type") != ""
		serious := map[string]bool{"UNKNOWN": true, "DEADLINE_EXCEEDED": true, "UNIMPLEMENTED": true, "INTERNAL": true, "UNAVAILABLE": true, "DATA_LOSS": true}
		code := s.Text("rpc.response.status_code")
		if want := client && code != "OK" || !client && serious[code]; failed != want || (s.Status == ptrace.StatusCodeError) != want {
			wrong("error.type %q, status %v for %s", s.Text("error.type"), s.Status, code)
		}
		if "/"+s.Name != c.Path || s.Text("rpc.system.name") != "grpc" || s.Text("server.address") == "" {
			wrong("name %q, system %q, server %q", s.Name, s.Text("rpc.system.name"), s.Text("server.address"))
		}
		return
	}
	if s.Text("network.protocol.version") != "2" || s.Text("server.address") != "127.0.0.1" {
		wrong("version %q, server %q", s.Text("network.protocol.version"), s.Text("server.address"))
	}
	sizes := [2]string{strconv.Itoa(c.Request), strconv.Itoa(c.Response)}
	if kindOf(c.Path) == "coded" {
		return
	}
	for i, key := range []string{"http.request.body.size", "http.response.body.size"} {
		if got := s.Text(key); got != sizes[i] && !(got == "" && sizes[i] == "0") {
			wrong("%s is %q, expected %s", key, got, sizes[i])
		}
	}
}

// losses logs what the collector says it has lost, and returns how many calls of HTTP/2
// it has given up.
func losses(t *testing.T, w *protocols.Watch) (unmatched int) {
	t.Helper()
	telemetry, err := w.Telemetry(t.Context())
	require.NoError(t, err)
	t.Logf("lost: %v", groundtruth.Losses(telemetry))
	return int(telemetry[`otelcol_receiver_ebpf_parser_unmatched{protocol="http2"}`])
}

// verify logs one line and demands that everything is right.
func verify(t *testing.T, e *expectation, spans []*groundtruth.Span) *result {
	t.Helper()
	r := compare(e, spans)
	side := "server"
	if e.client {
		side = "client"
	}
	t.Logf("%-34s %s: expected %5d, found %5d, missing %d, bogus %d, duplicates %d, wrong %d, times %d, close %d", e.name, side,
		r.expected, r.found, len(r.missing), len(r.bogus), len(r.duplicates), len(r.wrong), len(r.times), r.close)
	some := func(list []string) []string { return list[:min(len(list), 5)] }
	require.NotZero(t, r.expected)
	if float64(len(r.missing)) > 0.001*float64(r.expected) {
		t.Errorf("%s %s: missing: %v", e.name, side, some(r.missing))
	}
	for what, list := range map[string][]string{"bogus": r.bogus, "duplicates": r.duplicates, "wrong": r.wrong, "times": r.times} {
		if len(list) > 0 {
			t.Errorf("%s %s: %s: %v", e.name, side, what, some(list))
		}
	}
	return r
}
