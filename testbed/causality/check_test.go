// SPDX-License-Identifier: Apache-2.0

package causality

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Processes of the synthetic runs.
const nginxPID, nodePID, goPID = 1, 2, 3

var (
	testProcesses = map[int]string{nginxPID: "nginx", nodePID: "node2", goPID: "go"}
	testScenario  = &Scenario{Name: "test", Root: call("nginx", step(call("node2", step(call("go")), step(call("go"), call("go")))))}
)

// perfect makes two requests and the spans a perfect receiver reports for them:
// by node, "0.1 client".
func perfect() ([]*Case, []map[string]*Span) {
	c := &Case{Scenario: testScenario.Name, Concurrency: 2, Requests: 2}
	var all []map[string]*Span
	id := uint64(1)
	for n := range 2 {
		r := &Request{Scenario: testScenario, ID: fmt.Sprint(n)}
		c.requests = append(c.requests, r)
		spans := make(map[string]*Span)
		hops := testScenario.Hops()
		add := func(h Hop, side, service string, parent *Span) {
			s := &Span{Client: side == "client", Path: r.Path(h.Node), Start: int64(id), End: int64(1000 - id)}
			binary.BigEndian.PutUint64(s.TraceID[:], uint64(n+1))
			binary.BigEndian.PutUint64(s.SpanID[:], id)
			id++
			for pid, name := range testProcesses {
				if name == service {
					s.PID = pid
				}
			}
			if parent != nil {
				s.ParentID, s.Method = parent.SpanID, "thread"
			}
			spans[h.Node+" "+side] = s
		}
		for _, h := range hops {
			if h.Parent < 0 {
				add(h, "server", h.Service, nil)
				continue
			}
			above := hops[h.Parent]
			add(h, "client", above.Service, spans[above.Node+" server"])
			add(h, "server", h.Service, spans[h.Node+" client"])
		}
		all = append(all, spans)
	}
	return []*Case{c}, all
}

func flat(all []map[string]*Span) []*Span {
	var out []*Span
	for _, spans := range all {
		for _, s := range spans {
			out = append(out, s)
		}
	}
	return out
}

func TestCheckPerfect(t *testing.T) {
	cases, spans := perfect()
	r := Check(cases, testProcesses, flat(spans))
	c := cases[0]
	require.Equal(t, 2, c.Exact)
	require.Equal(t, 18, c.Spans)
	require.Zero(t, c.Merged+c.NotSeen+c.Unexpected+r.Strangers)
	require.Equal(t, Count{Expected: 8, Right: 8}, c.InProcess)
	require.Equal(t, Count{Expected: 8, Right: 8}, c.Join)
	require.Equal(t, Count{Expected: 2, Right: 2}, r.Rows[RootRow].Count)
	require.Equal(t, Count{Expected: 2, Right: 2}, r.Rows["nginx"].Count)
	require.Equal(t, Count{Expected: 6, Right: 6}, r.Rows["node"].Count, "node2 is charged to node")
	require.Equal(t, map[string]*Count{"thread": {Expected: 6, Right: 6}}, r.Rows["node"].Methods)
	require.Equal(t, []string{"nginx", "node", JoinRow, RootRow}, r.rowNames())
	require.Empty(t, r.Explain(10, regexp.MustCompile("")))
	require.Equal(t, *c, func() Case {
		total := r.Total()
		total.Scenario, total.Concurrency, total.requests = c.Scenario, 2, c.requests
		return total
	}())
}

// Every way to be wrong is seen, and charged to who did it.
func TestCheckMistakes(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(a, b map[string]*Span)
		row    string
		want   Count
		exact  int
		merged int
		// explained is in the text that Explain writes.
		explained string
	}{
		{"no parent", func(a, b map[string]*Span) { a["0.0.1 client"].ParentID = pcommon.SpanID{} },
			"node", Count{Expected: 6, Right: 5, Missing: 1}, 1, 0, "MISSING node: client span of 0.0.1 in node2, request test 0"},
		{"a sibling", func(a, b map[string]*Span) { a["0.0.1 client"].ParentID = a["0.0.0 client"].SpanID },
			"node", Count{Expected: 6, Right: 5, Wrong: 1}, 1, 0, "reported parent client span 0000000000000004 of 0.0.0 in node2; it begins"},
		{"another request's, with its own trace", func(a, b map[string]*Span) { a["0.0.1 client"].ParentID = b["0.0 server"].SpanID },
			"node", Count{Expected: 6, Right: 5, Wrong: 1}, 1, 0, "of ANOTHER request, test 1, in ANOTHER trace"},
		{"another request's", func(a, b map[string]*Span) {
			a["0.0.1 client"].ParentID, a["0.0.1 client"].TraceID = b["0.0 server"].SpanID, b["0.0 server"].TraceID
		}, "node", Count{Expected: 6, Right: 5, Wrong: 1}, 0, 1, "WRONG node"},
		{"swapped", func(a, b map[string]*Span) {
			x, y := a["0.0.1 client"], b["0.0.1 client"]
			x.ParentID, y.ParentID, x.TraceID, y.TraceID = y.ParentID, x.ParentID, y.TraceID, x.TraceID
		}, "node", Count{Expected: 6, Right: 4, Wrong: 2}, 0, 2, "WRONG node"},
		{"the right parent in another trace", func(a, b map[string]*Span) { a["0.0.1 client"].TraceID = pcommon.TraceID{9} },
			"node", Count{Expected: 6, Right: 5, Wrong: 1}, 1, 0, "in ANOTHER trace"},
		{"nobody's", func(a, b map[string]*Span) { a["0.0.1 client"].ParentID = pcommon.SpanID{9} },
			"node", Count{Expected: 6, Right: 5, Wrong: 1}, 1, 0, "which was not reported"},
		{"join missing", func(a, b map[string]*Span) { a["0.0.2 server"].ParentID = pcommon.SpanID{} },
			JoinRow, Count{Expected: 8, Right: 7, Missing: 1}, 1, 0, "MISSING join: server span of 0.0.2 in go"},
		{"joined with another call", func(a, b map[string]*Span) { a["0.0.2 server"].ParentID = a["0.0.1 client"].SpanID },
			JoinRow, Count{Expected: 8, Right: 7, Wrong: 1}, 1, 0, "WRONG join"},
		{"a root with a parent", func(a, b map[string]*Span) { a["0 server"].ParentID = b["0.0 client"].SpanID },
			RootRow, Count{Expected: 2, Right: 1, Wrong: 1}, 1, 0, "WRONG root"},
		{"span not seen", func(a, b map[string]*Span) { delete(a, "0.0.2 client") },
			"node", Count{Expected: 6, Right: 5, Unseen: 1}, 1, 0, "UNSEEN node"},
		{"parent not seen", func(a, b map[string]*Span) { delete(a, "0.0 server") },
			"node", Count{Expected: 6, Right: 3, Unseen: 3}, 1, 0, "right parent    not reported"},
		{"two requests in a trace", func(a, b map[string]*Span) {
			for _, s := range b {
				s.TraceID = a["0 server"].TraceID
			}
		}, "node", Count{Expected: 6, Right: 6}, 0, 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			cases, spans := perfect()
			test.change(spans[0], spans[1])
			r := Check(cases, testProcesses, flat(spans))
			require.Equal(t, test.want, r.Rows[test.row].Count)
			require.Equal(t, test.exact, cases[0].Exact, "exact")
			require.Equal(t, test.merged, cases[0].Merged, "merged")
			require.Contains(t, r.Explain(10, regexp.MustCompile("")), test.explained)
		})
	}
}

func TestCheckUnexpected(t *testing.T) {
	for reason, change := range map[string]func(s *Span){
		"double":               func(*Span) {},
		"not of go":            func(s *Span) { s.PID = nginxPID },
		"not of node2":         func(s *Span) { s.PID, s.Client = goPID, true },
		"no such node":         func(s *Span) { s.Path = (&Request{Scenario: testScenario, ID: "0"}).Path("0.7") },
		"the load generator's": func(s *Span) { s.Path, s.Client = (&Request{Scenario: testScenario, ID: "0"}).Path("0"), true },
	} {
		t.Run(reason, func(t *testing.T) {
			cases, spans := perfect()
			more := *spans[0]["0.0.2 server"]
			more.SpanID = pcommon.SpanID{9}
			change(&more)
			r := Check(cases, testProcesses, append(flat(spans), &more))
			require.Equal(t, 1, cases[0].Unexpected)
			require.Equal(t, 1, cases[0].Exact)
			require.Zero(t, cases[0].NotSeen)
			require.Contains(t, r.Explain(1, regexp.MustCompile("")), "UNEXPECTED, "+reason+": span of ")
		})
	}
}

func TestCheckStrangersAndProbes(t *testing.T) {
	cases, spans := perfect()
	r := Check(cases, testProcesses, append(flat(spans), &Span{SpanID: pcommon.SpanID{8}, PID: nodePID, Path: "/metrics"},
		&Span{SpanID: pcommon.SpanID{9}, PID: nodePID, Path: probePath("node")}))
	require.Equal(t, 1, r.Strangers)
	require.Equal(t, 2, cases[0].Exact)
}

func TestCheckFailedRequests(t *testing.T) {
	cases, spans := perfect()
	cases[0].requests[0].Failed = true
	delete(spans[0], "0.0.2 server")
	r := Check(cases, testProcesses, flat(spans))
	require.Equal(t, 1, cases[0].Exact)
	require.Equal(t, Count{Expected: 4, Right: 4}, r.Rows[JoinRow].Count)
}
