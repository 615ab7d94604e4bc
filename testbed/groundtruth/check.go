// SPDX-License-Identifier: Apache-2.0

package groundtruth

import (
	"fmt"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Tolerances of times. Durations and bounds are causal (stamps before and after
// the system calls), so only the mapping of the kernel's clock to the wall
// clock, and its rounding, needs room.
type Tolerances struct {
	// Duration is how much longer or shorter than its bounds a span may be.
	Duration time.Duration
	// Absolute is how far a span may lie outside of its bounds.
	Absolute time.Duration
	// Failure is added to both for exchanges that end with a close, which
	// the kernel may finish later than the system call.
	Failure time.Duration
}

// DefaultTolerances suit a busy two-core machine.
var DefaultTolerances = Tolerances{Duration: 200 * time.Microsecond, Absolute: 10 * time.Millisecond, Failure: 20 * time.Millisecond}

// CaseReport is the comparison for one case.
type CaseReport struct {
	Name            string
	Expected, Found int
	// Every string names the request and what is wrong with it.
	Missing, Bogus, Duplicate, Attribute, Status, Kind, Duration []string
}

// Wrong is the number of things that are not right.
func (c *CaseReport) Wrong() int {
	return len(c.Missing) + len(c.Bogus) + len(c.Duplicate) + len(c.Attribute) + len(c.Status) + len(c.Kind) + len(c.Duration)
}

// Recall is the share of expected spans found, in percent.
func (c *CaseReport) Recall() float64 {
	if c.Expected == 0 {
		return 100
	}
	return 100 * float64(c.Found) / float64(c.Expected)
}

// Details lists up to limit examples of every kind of wrong.
func (c *CaseReport) Details(limit int) string {
	var b strings.Builder
	for _, k := range []struct {
		name string
		list []string
	}{
		{"missing", c.Missing}, {"bogus", c.Bogus}, {"duplicate", c.Duplicate}, {"attribute", c.Attribute},
		{"status", c.Status}, {"kind", c.Kind}, {"duration", c.Duration},
	} {
		for i, s := range k.list {
			if i == limit {
				fmt.Fprintf(&b, "    %s: and %d more\n", k.name, len(k.list)-limit)
				break
			}
			fmt.Fprintf(&b, "    %s: %s\n", k.name, s)
		}
	}
	return b.String()
}

// Report is the comparison of a run.
type Report struct {
	Cases map[string]*CaseReport
}

// Case returns the report of a case, making it if need be.
func (r *Report) Case(name string) *CaseReport {
	c, ok := r.Cases[name]
	if !ok {
		c = &CaseReport{Name: name}
		r.Cases[name] = c
	}
	return c
}

// Wrong is the number of things that are not right in all cases.
func (r *Report) Wrong() int {
	n := 0
	for _, c := range r.Cases {
		n += c.Wrong()
	}
	return n
}

// Names of the cases, sorted.
func (r *Report) Names() []string {
	names := make([]string, 0, len(r.Cases))
	for n := range r.Cases {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// String is a table with a line per case.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-30s %8s %8s %8s %7s %7s %5s %7s %7s %5s %8s\n",
		"case", "expected", "found", "recall%", "missing", "bogus", "dup", "attr", "status", "kind", "duration")
	total := &CaseReport{Name: "total"}
	line := func(c *CaseReport) {
		fmt.Fprintf(&b, "%-30s %8d %8d %8.2f %7d %7d %5d %7d %7d %5d %8d\n", c.Name, c.Expected, c.Found, c.Recall(),
			len(c.Missing), len(c.Bogus), len(c.Duplicate), len(c.Attribute), len(c.Status), len(c.Kind), len(c.Duration))
	}
	for _, n := range r.Names() {
		c := r.Cases[n]
		line(c)
		total.Expected += c.Expected
		total.Found += c.Found
		total.Missing = append(total.Missing, c.Missing...)
		total.Bogus = append(total.Bogus, c.Bogus...)
		total.Duplicate = append(total.Duplicate, c.Duplicate...)
		total.Attribute = append(total.Attribute, c.Attribute...)
		total.Status = append(total.Status, c.Status...)
		total.Kind = append(total.Kind, c.Kind...)
		total.Duration = append(total.Duration, c.Duration...)
	}
	line(total)
	return b.String()
}

// ProbeCase is the case of requests that only find out whether the collector
// is ready; Check ignores it.
const ProbeCase = "probe"

type requestKey struct{ name, id string }

type truth struct {
	record *Record
	found  bool
	// caller are the ids of the client's spans of the same request.
	caller map[string]bool
}

// Check compares spans with the truth.
func Check(book *Book, spans []*Span, tol Tolerances) *Report {
	report := &Report{Cases: make(map[string]*CaseReport)}
	known := make(map[requestKey][]*truth)
	anonymous := make(map[int][]*truth)
	records := book.Records("")
	book.mu.Lock()
	watched := make(map[int]string, len(book.watched))
	for pid, name := range book.watched {
		watched[pid] = name
	}
	book.mu.Unlock()

	var all []*truth
	for _, r := range records {
		if r.Case == ProbeCase {
			continue
		}
		t := &truth{record: r}
		all = append(all, t)
		report.Case(r.Case)
		if r.Anonymous {
			anonymous[r.PID] = append(anonymous[r.PID], t)
			continue
		}
		k := requestKey{r.Case, r.ID}
		known[k] = append(known[k], t)
	}
	fillBounds(known)
	fillCallers(known, spans)

	ids := make(map[string]bool, len(spans))
	for _, s := range spans {
		if s.Text("db.system.name") != "" && s.Text("http.request.method") == "" {
			continue // among what is no HTTP are commands for Redis, and taken for that
		}
		checkSpan(report, known, anonymous, watched, ids, s, tol)
	}
	for _, t := range all {
		c := report.Case(t.record.Case)
		if !t.record.Optional || t.found {
			c.Expected++
		}
		if t.found {
			c.Found++
		} else if !t.record.Optional {
			c.Missing = append(c.Missing, describe(t.record))
		}
	}
	return report
}

// fillCallers tells the servers' records which spans were reported of their
// clients.
func fillCallers(known map[requestKey][]*truth, spans []*Span) {
	for _, s := range spans {
		if s.Kind != ptrace.SpanKindClient {
			continue
		}
		path, _ := pathOf(s)
		name, id, ok := ParsePath(path)
		if !ok {
			continue
		}
		for _, t := range known[requestKey{name, id}] {
			if t.caller == nil {
				t.caller = map[string]bool{}
			}
			t.caller[s.SpanID.String()] = true
		}
	}
}

// fillBounds uses what one side knows for the other: a server cannot have
// received before its client began to send, and a client cannot have had the
// last byte before the server began to send it, nor have begun to send only
// after the server had read the request.
func fillBounds(known map[requestKey][]*truth) {
	for _, side := range known {
		var start, end, arrived int64
		for _, t := range side {
			if t.record.Role == Client && t.record.StartMin != 0 && (start == 0 || t.record.StartMin < start) {
				start = t.record.StartMin
			}
			if t.record.Role == Server && t.record.EndMin != 0 && (end == 0 || t.record.EndMin < end) {
				end = t.record.EndMin
			}
			if t.record.Role == Server {
				arrived = max(arrived, t.record.StartMax)
			}
		}
		for _, t := range side {
			r := t.record
			if r.Role == Server && r.StartMin < start {
				r.StartMin = start
			}
			if r.Role == Client && r.StartMax == 0 {
				r.StartMax = arrived
			}
			if r.Role == Client && r.EndMin == 0 && !r.Error {
				r.EndMin = end
			}
		}
	}
}

func describe(r *Record) string {
	pid := strconv.Itoa(r.PID)
	if len(r.PIDs) > 0 {
		pid = fmt.Sprint(r.PIDs)
	}
	target := r.Target()
	if len(target) > 120 {
		target = target[:120] + "..."
	}
	return fmt.Sprintf("%s pid %s %s %s -> %d", r.Role, pid, r.Method, target, r.Status)
}

func describeSpan(s *Span) string {
	target := s.Text("url.full")
	if target == "" {
		target = s.Text("url.path")
		if q := s.Text("url.query"); q != "" {
			target += "?" + q
		}
	}
	if len(target) > 120 {
		target = target[:120] + "..."
	}
	return fmt.Sprintf("%s span %q pid %d %s %s -> %s error.type=%q %s", strings.ToLower(s.Kind.String()), s.Name, s.PID(),
		s.Text("http.request.method"), target, s.Text("http.response.status_code"), s.Text("error.type"), time.Duration(s.End-s.Start))
}

// pathOf finds the path and query of a span's target.
func pathOf(s *Span) (path, query string) {
	if full := s.Text("url.full"); full != "" {
		if u, err := url.Parse(full); err == nil {
			return u.EscapedPath(), u.RawQuery
		}
	}
	return s.Text("url.path"), s.Text("url.query")
}

// Path is the path of the request's target, on either side.
func (s *Span) Path() string {
	path, _ := pathOf(s)
	return path
}

// ours reports whether a span is about the test's own plumbing: OTLP, or the
// scrape of the collector's metrics.
func ours(s *Span, path string) bool {
	if _, ok := s.Attributes.Get("rpc.system.name"); ok {
		return true
	}
	return strings.HasPrefix(path, "/opentelemetry.proto.") || path == "/metrics"
}

func checkSpan(report *Report, known map[requestKey][]*truth, anonymous map[int][]*truth, watched map[int]string,
	ids map[string]bool, s *Span, tol Tolerances) {
	path, _ := pathOf(s)
	name, id, ok := ParsePath(path)
	if name == ProbeCase || ours(s, path) {
		return
	}
	if !ok {
		for _, t := range anonymous[s.PID()] {
			if t.record.Method == s.Text("http.request.method") && !t.found {
				compare(report.Case(t.record.Case), t, s, ids, tol)
				return
			}
		}
		if owner, ok := watched[s.PID()]; ok {
			c := report.Case(owner)
			c.Bogus = append(c.Bogus, describeSpan(s))
		}
		return
	}
	sides := known[requestKey{name, id}]
	if len(sides) == 0 {
		// The case may be another test's; ours are those with records.
		if _, mine := report.Cases[name]; mine {
			c := report.Case(name)
			c.Bogus = append(c.Bogus, describeSpan(s))
		}
		return
	}
	c := report.Case(name)
	role := Server
	if s.Kind == ptrace.SpanKindClient {
		role = Client
	}
	var same, other *truth
	for _, t := range sides {
		switch {
		case !t.record.hasPID(s.PID()):
		case t.record.Role == role:
			if same == nil || same.found {
				same = t
			}
		default:
			other = t
		}
	}
	switch {
	case same != nil && same.found:
		c.Duplicate = append(c.Duplicate, describeSpan(s))
	case same != nil:
		compare(c, same, s, ids, tol)
	case other != nil:
		c.Kind = append(c.Kind, describeSpan(s))
	default:
		c.Bogus = append(c.Bogus, "no such side: "+describeSpan(s))
	}
}

var knownMethods = map[string]bool{
	"GET": true, "HEAD": true, "POST": true, "PUT": true, "DELETE": true, "CONNECT": true, "OPTIONS": true, "TRACE": true,
	"PATCH": true, "QUERY": true,
}

// compare checks everything about the span of one record.
func compare(c *CaseReport, t *truth, s *Span, ids map[string]bool, tol Tolerances) {
	r := t.record
	t.found = true
	wrong := func(list *[]string, key string, want, got any) {
		*list = append(*list, fmt.Sprintf("%s: %s is %v, expected %v", describe(r), key, got, want))
	}
	text := func(key, want string) {
		if got := s.Text(key); got != want {
			wrong(&c.Attribute, key, strconv.Quote(want), strconv.Quote(got))
		}
	}

	if id := s.SpanID.String(); id == "" || ids[id] {
		wrong(&c.Attribute, "span id", "a new one", strconv.Quote(id))
	} else {
		ids[id] = true
	}
	if s.TraceID.IsEmpty() {
		wrong(&c.Attribute, "trace id", "any", "empty")
	}
	wantKind := ptrace.SpanKindServer
	if r.Role == Client {
		wantKind = ptrace.SpanKindClient
	}
	if s.Kind != wantKind {
		wrong(&c.Kind, "kind", wantKind, s.Kind)
	}

	method := r.Method
	if knownMethods[method] {
		text("http.request.method", method)
	} else {
		text("http.request.method", "_OTHER")
		text("http.request.method_original", method)
		method = "HTTP"
	}
	if s.Name != method && (!strings.HasPrefix(s.Name, method+" ") || r.ID != "" && strings.Contains(s.Name, r.ID)) {
		wrong(&c.Attribute, "name", method, s.Name)
	}
	text("network.protocol.version", r.Version)
	if !r.Anonymous {
		compareTarget(c, r, s, wrong, text)
	}
	port := func(key string, want int) {
		if got, _ := s.Int(key); want != 0 && got != int64(want) {
			wrong(&c.Attribute, key, want, s.Text(key))
		}
	}
	if !r.Anonymous {
		port("server.port", r.ServerPort)
	}
	port("network.peer.port", r.PeerPort)
	if r.Role == Server {
		text("user_agent.original", r.UserAgent)
		if r.ServerPort != 0 && s.Text("client.address") == "" {
			wrong(&c.Attribute, "client.address", "any", "absent")
		}
	}
	if r.ServerPort != 0 && s.Text("network.peer.address") == "" {
		wrong(&c.Attribute, "network.peer.address", "any", "absent")
	}
	size := func(key string, want int64) {
		if got, ok := s.Int(key); ok && want >= 0 && got != want {
			wrong(&c.Attribute, key, want, got)
		}
	}
	size("http.request.body.size", r.RequestBody)
	size("http.response.body.size", r.ResponseBody)
	compareStatus(c, r, s, wrong)
	compareTraceparent(c, t, s, wrong)
	compareTimes(c, r, s, tol)
}

func compareTarget(c *CaseReport, r *Record, s *Span, wrong func(*[]string, string, any, any), text func(string, string)) {
	path, query := pathOf(s)
	if path != r.Path {
		wrong(&c.Attribute, "path", r.Path, path)
	}
	if query != r.Query {
		wrong(&c.Attribute, "query", r.Query, query)
	}
	if r.Role == Client {
		if u, err := url.Parse(s.Text("url.full")); err != nil || u.Scheme != "http" || u.Host == "" {
			wrong(&c.Attribute, "url.full", "an absolute http URL", s.Text("url.full"))
		}
		if s.Text("server.address") == "" {
			wrong(&c.Attribute, "server.address", "any", "absent")
		}
		return
	}
	text("url.scheme", "http")
	text("url.path", r.Path)
}

func compareStatus(c *CaseReport, r *Record, s *Span, wrong func(*[]string, string, any, any)) {
	got, ok := s.Int("http.response.status_code")
	if got != int64(r.Status) && (ok || !r.StatusOptional) {
		wrong(&c.Status, "http.response.status_code", r.Status, s.Text("http.response.status_code"))
	}
	failed := r.Status >= 500 || r.Role == Client && r.Status >= 400
	want := ptrace.StatusCodeUnset
	if failed || r.Error {
		want = ptrace.StatusCodeError
	}
	if s.Status != want {
		wrong(&c.Status, "span status", want, s.Status)
	}
	errorType := s.Text("error.type")
	switch {
	case r.Error:
		if _, err := strconv.Atoi(errorType); err == nil || errorType == "" {
			wrong(&c.Status, "error.type", "a transport failure", strconv.Quote(errorType))
		}
	case failed:
		if errorType != strconv.Itoa(r.Status) {
			wrong(&c.Status, "error.type", r.Status, strconv.Quote(errorType))
		}
	case errorType != "":
		wrong(&c.Status, "error.type", "absent", strconv.Quote(errorType))
	}
}

func compareTraceparent(c *CaseReport, t *truth, s *Span, wrong func(*[]string, string, any, any)) {
	r := t.record
	if r.Traceparent == "" {
		return
	}
	parts := strings.Split(r.Traceparent, "-")
	if got := s.TraceID.String(); got != parts[1] {
		wrong(&c.Attribute, "trace id", parts[1], got)
	}
	// On the client's side the header names a span the client's own code
	// made; whether ours is its child is the propagator's business. On the
	// server's it is the parent unless the client's span is known, which
	// stands between.
	if got := s.ParentID.String(); r.Role == Server && got != parts[2] && !t.caller[got] {
		wrong(&c.Attribute, "parent span id", parts[2], got)
	}
}

func compareTimes(c *CaseReport, r *Record, s *Span, tol Tolerances) {
	duration, absolute := int64(tol.Duration), int64(tol.Absolute)
	if r.Error {
		duration += int64(tol.Failure)
		absolute += int64(tol.Failure)
	}
	took := s.End - s.Start
	say := func(format string, args ...any) {
		c.Duration = append(c.Duration, describe(r)+": "+fmt.Sprintf(format, args...))
	}
	us := func(ns int64) string { return fmt.Sprintf("%.1f us", float64(ns)/1e3) }
	if took < 0 {
		say("negative duration %s", us(took))
	}
	if r.StartMin != 0 && r.EndMax != 0 && took > r.EndMax-r.StartMin+duration {
		say("took %s, at most %s is possible; starts %s after and ends %s before the bounds", us(took), us(r.EndMax-r.StartMin),
			us(s.Start-r.StartMin), us(r.EndMax-s.End))
	}
	if r.StartMax != 0 && r.EndMin != 0 && took < r.EndMin-r.StartMax-duration {
		say("took %s, at least %s is certain; starts %s before and ends %s after the latest start and the earliest end", us(took),
			us(r.EndMin-r.StartMax), us(r.StartMax-s.Start), us(s.End-r.EndMin))
	}
	if r.StartMin != 0 && s.Start < r.StartMin-absolute || r.StartMax != 0 && s.Start > r.StartMax+absolute {
		say("starts %s after the earliest and %s before the latest possible moment", us(s.Start-r.StartMin), us(r.StartMax-s.Start))
	}
	if r.EndMin != 0 && s.End < r.EndMin-absolute || r.EndMax != 0 && s.End > r.EndMax+absolute {
		say("ends %s after the earliest and %s before the latest possible moment", us(s.End-r.EndMin), us(r.EndMax-s.End))
	}
}
