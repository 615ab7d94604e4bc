// SPDX-License-Identifier: Apache-2.0

package causality

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Count says what became of the links of a kind. Expected is the sum of the others.
type Count struct {
	Expected int `json:"expected"`
	// Right links have the right parent, in the same trace.
	Right int `json:"right"`
	// Wrong links have another parent, or one where there is none.
	Wrong int `json:"wrong"`
	// Missing links have no parent.
	Missing int `json:"missing"`
	// Unseen links cannot be judged: the child was not reported, or it names a
	// parent but the right one was not reported.
	Unseen int `json:"unseen"`
}

type verdict string

const (
	right   verdict = "right"
	wrong   verdict = "wrong"
	missing verdict = "missing"
	unseen  verdict = "unseen"
)

func (c *Count) add(v verdict) {
	c.Expected++
	switch v {
	case right:
		c.Right++
	case wrong:
		c.Wrong++
	case missing:
		c.Missing++
	case unseen:
		c.Unseen++
	}
}

func (c *Count) merge(o Count) {
	c.Expected += o.Expected
	c.Right += o.Right
	c.Wrong += o.Wrong
	c.Missing += o.Missing
	c.Unseen += o.Unseen
}

// Rows that are not runtimes.
const (
	// JoinRow is of the links from a client span to the server span it caused.
	JoinRow = "join"
	// RootRow is of the spans the load generator caused.
	RootRow = "root"
)

// Row is all links of one kind: of one runtime, from its server spans to the
// client spans it made for them, or JoinRow, or RootRow.
type Row struct {
	Count
	// Methods tells how the receiver says it found the parents.
	Methods map[string]*Count `json:"methods,omitempty"`
	// Links is the number of span links of these spans.
	Links int `json:"links"`
}

// Case is one scenario at one concurrency.
type Case struct {
	Scenario    string `json:"scenario"`
	Concurrency int    `json:"concurrency"`
	Requests    int    `json:"requests"`
	// Failed requests were not answered with 200; they are not judged.
	Failed  int    `json:"failed"`
	Failure string `json:"failure,omitempty"` // of the first
	// Exact is the number of traces that are what happened and nothing else.
	Exact int `json:"exact"`
	// Merged is the number of trace ids that hold spans of several requests.
	Merged int `json:"merged"`
	// Spans are expected; NotSeen were not reported; Unexpected ones are double,
	// or of a process that had no part in this.
	Spans      int     `json:"spans"`
	NotSeen    int     `json:"spans_not_seen"`
	Unexpected int     `json:"spans_unexpected"`
	InProcess  Count   `json:"in_process"`
	Join       Count   `json:"join"`
	Root       Count   `json:"root"`
	Seconds    float64 `json:"seconds"`
	requests   []*Request
}

// Result is the outcome of a run.
type Result struct {
	Hooks string          `json:"hooks"`
	Cases []*Case         `json:"cases"`
	Rows  map[string]*Row `json:"rows"`
	// Strangers are spans of observed processes that belong to no request.
	Strangers int      `json:"strangers"`
	Lost      []string `json:"lost,omitempty"` // counters of the collector that are not 0
	mistakes  []mistake
	surprises []surprise
	book      *book
}

// Total adds up the cases.
func (r *Result) Total() Case {
	t := Case{Scenario: "total"}
	for _, c := range r.Cases {
		t.Requests += c.Requests
		t.Failed += c.Failed
		t.Exact += c.Exact
		t.Merged += c.Merged
		t.Spans += c.Spans
		t.NotSeen += c.NotSeen
		t.Unexpected += c.Unexpected
		t.InProcess.merge(c.InProcess)
		t.Join.merge(c.Join)
		t.Root.merge(c.Root)
		t.Seconds += c.Seconds
	}
	return t
}

// trace is the spans reported for a request, by the index of the hop.
type trace struct {
	request         *Request
	one             *Case
	hops            []Hop
	clients         []*Span // of the process that called; none for the root
	servers         []*Span
	unexpected      []*Span
	failed, notOnly bool // notOnly: another request's span has one of its trace ids
}

// book finds what a span is.
type book struct {
	processes map[int]string // pid to service
	spans     map[pcommon.SpanID]*Span
	places    map[*Span]place
	perPID    map[int][]*Span // server spans
}

// place is where in which trace a span belongs.
type place struct {
	trace *trace
	hop   int
}

// mistake is a link that is not right.
type mistake struct {
	row     string
	verdict verdict
	trace   *trace
	hop     int
	child   *Span // nil if unseen
}

// surprise is a span of a request that has no place there.
type surprise struct {
	trace  *trace
	span   *Span
	reason string
}

// Check compares spans with the requests of the cases. processes tells which
// service a pid is.
func Check(cases []*Case, processes map[int]string, spans []*Span) *Result {
	result := &Result{Cases: cases, Rows: make(map[string]*Row)}
	result.book = &book{processes, make(map[pcommon.SpanID]*Span), make(map[*Span]place), make(map[int][]*Span)}
	type key struct{ scenario, id string }
	traces := make(map[key]*trace)
	var ordered []*trace
	for _, c := range cases {
		for _, r := range c.requests {
			hops := r.Scenario.Hops()
			t := &trace{request: r, one: c, hops: hops, clients: make([]*Span, len(hops)), servers: make([]*Span, len(hops)), failed: r.Failed}
			traces[key{r.Scenario.Name, r.ID}] = t
			ordered = append(ordered, t)
		}
	}
	for _, s := range spans {
		scenario, id, node, ok := parsePath(s.Path)
		if ok && scenario == probe {
			continue
		}
		result.book.spans[s.SpanID] = s
		t := traces[key{scenario, id}]
		if t == nil {
			result.Strangers++
			continue
		}
		if reason := result.book.put(t, s, node); reason != "" {
			result.surprises = append(result.surprises, surprise{t, s, reason})
			t.unexpected = append(t.unexpected, s)
			t.one.Unexpected++
		}
	}
	result.merged(ordered)
	for _, t := range ordered {
		if !t.failed {
			result.judge(t)
		}
	}
	return result
}

// put finds the place of a span; if it has none, it says why.
func (b *book) put(t *trace, s *Span, node string) string {
	for i, h := range t.hops {
		if h.Node != node {
			continue
		}
		slot, owner := &t.servers[i], h.Service
		if s.Client {
			if h.Parent < 0 {
				return "the load generator's"
			}
			slot, owner = &t.clients[i], t.hops[h.Parent].Service
		}
		switch {
		case b.processes[s.PID] != owner:
			return "not of " + owner
		case *slot != nil:
			return "double"
		}
		*slot = s
		b.places[s] = place{t, i}
		if !s.Client {
			b.perPID[s.PID] = append(b.perPID[s.PID], s)
		}
		return ""
	}
	return "no such node"
}

// all spans of a trace.
func (t *trace) all() []*Span {
	var out []*Span
	for i := range t.hops {
		if s := t.clients[i]; s != nil {
			out = append(out, s)
		}
		if s := t.servers[i]; s != nil {
			out = append(out, s)
		}
	}
	return append(out, t.unexpected...)
}

// merged counts trace ids that several requests have.
func (r *Result) merged(traces []*trace) {
	owner := make(map[pcommon.TraceID]*trace)
	counted := make(map[pcommon.TraceID]bool)
	for _, t := range traces {
		for _, s := range t.all() {
			first := owner[s.TraceID]
			switch {
			case first == nil:
				owner[s.TraceID] = t
			case first != t:
				t.notOnly, first.notOnly = true, true
				if !counted[s.TraceID] {
					counted[s.TraceID] = true
					t.one.Merged++
				}
			}
		}
	}
}

// judge gives every link of a trace its verdict.
func (r *Result) judge(t *trace) {
	exact := !t.notOnly && len(t.unexpected) == 0
	for i, h := range t.hops {
		client, server := t.clients[i], t.servers[i]
		t.one.Spans++
		if server == nil {
			t.one.NotSeen++
		}
		if h.Parent < 0 {
			v := right
			if server == nil {
				v = unseen
			} else if !server.ParentID.IsEmpty() {
				v = wrong
			}
			exact = r.add(RootRow, &t.one.Root, v, mistake{trace: t, hop: i, child: server}) && exact
			continue
		}
		t.one.Spans++
		if client == nil {
			t.one.NotSeen++
		}
		runtime := runtimeOf(t.hops[h.Parent].Service)
		v := link(client, t.servers[h.Parent])
		exact = r.add(rowOf(runtime, t.one.Scenario), &t.one.InProcess, v, mistake{trace: t, hop: i, child: client}) && exact
		v = link(server, client)
		exact = r.add(JoinRow, &t.one.Join, v, mistake{trace: t, hop: i, child: server}) && exact
	}
	if exact {
		t.one.Exact++
	}
}

// link judges a child by its right parent.
func link(child, parent *Span) verdict {
	switch {
	case child == nil:
		return unseen
	case child.ParentID.IsEmpty():
		return missing
	case parent == nil:
		return unseen
	case child.ParentID == parent.SpanID && child.TraceID == parent.TraceID:
		return right
	}
	return wrong
}

// add counts a verdict wherever it belongs and says whether it is right.
func (r *Result) add(name string, c *Count, v verdict, m mistake) bool {
	row := r.Rows[name]
	if row == nil {
		row = &Row{Methods: make(map[string]*Count)}
		r.Rows[name] = row
	}
	row.add(v)
	c.add(v)
	if m.child != nil {
		row.Links += m.child.Links
		method := m.child.Method
		if method == "" {
			method = "none"
		}
		if row.Methods[method] == nil {
			row.Methods[method] = &Count{}
		}
		row.Methods[method].add(v)
	}
	if v != right {
		m.row, m.verdict = name, v
		r.mistakes = append(r.mistakes, m)
	}
	return v == right
}

// runtimeOf is the program a service is an instance of: "node" of "node2".
func runtimeOf(service string) string { return strings.TrimRight(service, "0123456789") }

// rowOf is where the links of a runtime are counted: in rows of their own for the
// scenarios in which it makes calls at the same time, or after its own timers.
func rowOf(runtime, scenario string) string {
	if kind, ok := strings.CutPrefix(scenario, runtime+"-"); ok && kind != "seq" {
		return runtime + " " + kind
	}
	return runtime
}
