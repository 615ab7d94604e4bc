// SPDX-License-Identifier: Apache-2.0

package groundtruth

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// sample is a request with both sides, half a millisecond long.
func sample() []*Record {
	const start = 1_700_000_000_000_000_000
	base := Record{
		Case: "c", ID: "1", Method: "GET", Path: "/case/c/1", Query: "x=1", Status: 200, Version: "1.1", UserAgent: "ua",
		ServerPort: 80, StartMin: start, StartMax: start + 10_000, EndMin: start + 490_000, EndMax: start + 500_000,
	}
	client, server := base, base
	client.Role, client.PID = Client, 10
	server.Role, server.PID = Server, 20
	return []*Record{&client, &server}
}

func bookOf(records []*Record) *Book {
	b := &Book{}
	for _, r := range records {
		b.Add(r)
		b.Watch(r.PID, r.Case)
	}
	return b
}

// send takes traces through a real sink.
func send(t *testing.T, td ptrace.Traces) []*Span {
	s, err := NewSink()
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, Send(t.Context(), s.Endpoint(), td))
	return s.Spans()
}

func first(td ptrace.Traces) ptrace.Span {
	return td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		change func(ptrace.Traces)
		count  func(*CaseReport) int
	}{
		"nothing":   {func(ptrace.Traces) {}, nil},
		"missing":   {func(td ptrace.Traces) { td.ResourceSpans().RemoveIf(func(ptrace.ResourceSpans) bool { return true }) }, func(c *CaseReport) int { return len(c.Missing) / 2 }},
		"duplicate": {func(td ptrace.Traces) { td.ResourceSpans().At(0).CopyTo(td.ResourceSpans().AppendEmpty()) }, func(c *CaseReport) int { return len(c.Duplicate) }},
		"unknown id": {func(td ptrace.Traces) {
			td.ResourceSpans().At(0).CopyTo(td.ResourceSpans().AppendEmpty())
			td.ResourceSpans().At(2).ScopeSpans().At(0).Spans().At(0).Attributes().PutStr("url.full", "http://h/case/c/2")
		}, func(c *CaseReport) int { return len(c.Bogus) }},
		"no id": {func(td ptrace.Traces) {
			td.ResourceSpans().At(0).CopyTo(td.ResourceSpans().AppendEmpty())
			td.ResourceSpans().At(2).ScopeSpans().At(0).Spans().At(0).Attributes().PutStr("url.full", "http://h/else")
		}, func(c *CaseReport) int { return len(c.Bogus) }},
		"kind": {func(td ptrace.Traces) { first(td).SetKind(ptrace.SpanKindServer) }, func(c *CaseReport) int { return len(c.Kind) * len(c.Missing) }},
		"status code": {func(td ptrace.Traces) { first(td).Attributes().PutInt("http.response.status_code", 201) },
			func(c *CaseReport) int { return len(c.Status) }},
		"span status":  {func(td ptrace.Traces) { first(td).Status().SetCode(ptrace.StatusCodeError) }, func(c *CaseReport) int { return len(c.Status) }},
		"error type":   {func(td ptrace.Traces) { first(td).Attributes().PutStr("error.type", "eof") }, func(c *CaseReport) int { return len(c.Status) }},
		"method":       {func(td ptrace.Traces) { first(td).Attributes().PutStr("http.request.method", "PUT") }, func(c *CaseReport) int { return len(c.Attribute) }},
		"query":        {func(td ptrace.Traces) { first(td).Attributes().PutStr("url.full", "http://h:80/case/c/1?x=2") }, func(c *CaseReport) int { return len(c.Attribute) }},
		"version":      {func(td ptrace.Traces) { first(td).Attributes().PutStr("network.protocol.version", "1.0") }, func(c *CaseReport) int { return len(c.Attribute) }},
		"path in name": {func(td ptrace.Traces) { first(td).SetName("GET /case/c/1") }, func(c *CaseReport) int { return len(c.Attribute) }},
		"port":         {func(td ptrace.Traces) { first(td).Attributes().PutInt("server.port", 81) }, func(c *CaseReport) int { return len(c.Attribute) }},
		"same span id": {func(td ptrace.Traces) { first(td).SetSpanID(pcommon.SpanID{7: 2}) }, func(c *CaseReport) int { return len(c.Attribute) }},
		"too long":     {func(td ptrace.Traces) { first(td).SetEndTimestamp(first(td).EndTimestamp() + 1_000_000) }, func(c *CaseReport) int { return len(c.Duration) }},
		"too short":    {func(td ptrace.Traces) { first(td).SetEndTimestamp(first(td).StartTimestamp() + 100_000) }, func(c *CaseReport) int { return len(c.Duration) }},
		"other clock": {func(td ptrace.Traces) {
			first(td).SetStartTimestamp(first(td).StartTimestamp() - 5e9)
			first(td).SetEndTimestamp(first(td).EndTimestamp() - 5e9)
		}, func(c *CaseReport) int { return len(c.Duration) / 2 }},
		"another process": {func(td ptrace.Traces) { td.ResourceSpans().At(0).Resource().Attributes().PutInt("process.pid", 99) }, func(c *CaseReport) int { return len(c.Bogus) * len(c.Missing) }},
	} {
		t.Run(name, func(t *testing.T) {
			records := sample()
			td := Fake(records)
			c.change(td)
			report := Check(bookOf(records), send(t, td), DefaultTolerances)
			if c.count == nil {
				assert.Zero(t, report.Wrong(), report.Case("c").Details(5))
				assert.InDelta(t, 100, report.Case("c").Recall(), 0)
				return
			}
			assert.Equal(t, 1, c.count(report.Case("c")), "%s%s", report, report.Case("c").Details(5))
		})
	}
}

func TestCheckIgnoresStrangers(t *testing.T) {
	records := sample()
	strangers := sample()
	for _, r := range strangers {
		r.Case, r.Path, r.PID = "other", "/case/other/1", r.PID+1000
	}
	report := Check(bookOf(records), send(t, Fake(append(strangers, records...))), DefaultTolerances)
	assert.Zero(t, report.Wrong())
	assert.NotContains(t, report.Cases, "other")
}

func TestOptionalAndAnonymous(t *testing.T) {
	records := sample()
	records[0].Optional = true
	records[1].Anonymous, records[1].Path, records[1].ID, records[1].Query = true, "*", "", ""
	report := Check(bookOf(records), send(t, Fake(records[1:])), DefaultTolerances)
	assert.Zero(t, report.Wrong(), report.Case("c").Details(5))
	assert.Equal(t, 1, report.Case("c").Expected)
}

func TestCounterCounts(t *testing.T) {
	c, err := NewCounter()
	require.NoError(t, err)
	defer c.Close()
	for range 3 {
		require.NoError(t, Send(t.Context(), c.Endpoint(), Fake(sample())))
	}
	assert.EqualValues(t, 6, c.Spans())
	assert.Positive(t, c.Bytes())
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	line, err := json.Marshal(sample()[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "10.jsonl"), append(line, '\n'), 0o600))
	b := &Book{}
	require.NoError(t, b.Load(dir))
	assert.Equal(t, sample()[:1], b.Records("c"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "11.jsonl"), []byte("{"), 0o600))
	assert.ErrorContains(t, b.Load(dir), "11.jsonl")
}

// TestGoTraffic: the two ends of net/http agree with each other.
func TestGoTraffic(t *testing.T) {
	b := &Book{}
	s, err := NewGoServer(b)
	require.NoError(t, err)
	c := NewGoClient(b, true)
	require.NoError(t, c.Request("POST", s.URL("g", "1", "status=201&size=5000&delay=1000"), make([]byte, 300), nil))
	require.NoError(t, c.Request("GET", s.URL("g", "2", "status=302&to=3"), nil, nil))
	c.Close()
	require.Eventually(t, func() bool { return len(b.Records("g")) == 6 }, 5*time.Second, time.Millisecond)
	s.Close()
	report := Check(b, send(t, Fake(b.Records(""))), DefaultTolerances)
	assert.Zero(t, report.Wrong(), report.Case("g").Details(5))
}
