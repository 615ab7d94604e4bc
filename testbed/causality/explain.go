// SPDX-License-Identifier: Apache-2.0

package causality

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Explain shows up to limit examples of every kind of mistake, "wrong node" or
// "unexpected double", that matches: what the child's parent is, what it should be, what else its process
// was doing, and all spans of the request in the order of time.
func (r *Result) Explain(limit int, matches *regexp.Regexp) string {
	type kind struct {
		row     string
		verdict verdict
		method  string
	}
	shown := make(map[kind]int)
	var b strings.Builder
	for _, x := range r.surprises {
		k := kind{row: x.reason}
		if !matches.MatchString("unexpected " + x.reason) {
			continue
		}
		if shown[k]++; shown[k] <= limit {
			fmt.Fprintf(&b, "\nUNEXPECTED, %s: span of %s in request %s %s\n", x.reason, cmp.Or(r.book.processes[x.span.PID], "nobody"),
				x.trace.request.Scenario.Name, x.trace.request.ID)
			r.book.timeline(&b, x.trace, x.span)
		}
	}
	for _, name := range r.rowNames() {
		for _, m := range r.mistakes {
			if m.row != name || !matches.MatchString(string(m.verdict)+" "+name) {
				continue
			}
			k := kind{name, m.verdict, ""}
			if m.child != nil {
				k.method = m.child.Method
			}
			if shown[k]++; shown[k] <= limit {
				r.book.explain(&b, m)
			}
		}
	}
	return b.String()
}

func (b *book) explain(w *strings.Builder, m mistake) {
	t, hop := m.trace, m.trace.hops[m.hop]
	side, who, should := "client", "", "none"
	var parent *Span
	switch {
	case m.row == RootRow:
		side, who = "server", hop.Service
	case m.row == JoinRow:
		side, who, parent = "server", hop.Service, t.clients[m.hop]
	default:
		who, parent = t.hops[hop.Parent].Service, t.servers[hop.Parent]
	}
	if parent != nil {
		should = b.describe(parent, t)
	} else if m.row != RootRow {
		should = "not reported"
	}
	fmt.Fprintf(w, "\n%s %s: %s span of %s in %s, request %s %s\n", strings.ToUpper(string(m.verdict)), m.row, side, hop.Node, who,
		t.request.Scenario.Name, t.request.ID)
	fmt.Fprintf(w, "  path            %s\n", t.request.Path(hop.Node))
	fmt.Fprintf(w, "  right parent    %s\n", should)
	if m.child != nil {
		fmt.Fprintf(w, "  reported parent %s\n", b.parent(m.child, t))
		b.neighbours(w, m.child, t)
	}
	b.timeline(w, t, m.child)
}

// describe names a span by its place, as seen from a trace.
func (b *book) describe(s *Span, from *trace) string {
	p, ok := b.places[s]
	side := "server"
	if s.Client {
		side = "client"
	}
	if !ok {
		return fmt.Sprintf("%s span %s of %s, %s", side, s.SpanID, b.processes[s.PID], s.Path)
	}
	text := fmt.Sprintf("%s span %s of %s in %s", side, s.SpanID, p.trace.hops[p.hop].Node, b.processes[s.PID])
	if p.trace != from {
		text += fmt.Sprintf(", of ANOTHER request, %s %s", p.trace.request.Scenario.Name, p.trace.request.ID)
	}
	return text
}

// parent describes the parent a span names.
func (b *book) parent(s *Span, from *trace) string {
	if s.ParentID.IsEmpty() {
		return "none"
	}
	if p := b.spans[s.ParentID]; p != nil {
		text := b.describe(p, from)
		if p.TraceID != s.TraceID {
			text += ", in ANOTHER trace"
		}
		return fmt.Sprintf("%s; it begins %.3f ms before the child and takes %.3f ms", text, float64(s.Start-p.Start)/1e6, float64(p.End-p.Start)/1e6)
	}
	return fmt.Sprintf("%s, which was not reported", s.ParentID)
}

// neighbours lists what the child's process was serving when the child began.
func (b *book) neighbours(w *strings.Builder, child *Span, t *trace) {
	var open []string
	for _, s := range b.perPID[child.PID] {
		if s != child && s.Start <= child.Start && s.End >= child.Start {
			p := b.places[s]
			id := p.trace.request.ID
			if p.trace == t {
				id = "this request"
			}
			open = append(open, fmt.Sprintf("%s of %s for %s", p.trace.hops[p.hop].Node, id, time.Duration(child.Start-s.Start)))
		}
	}
	const most = 8
	text := strings.Join(open[:min(most, len(open))], "; ")
	if len(open) > most {
		text += "; ..."
	}
	fmt.Fprintf(w, "  pid %d was serving %d requests: %s\n", child.PID, len(open), text)
}

// timeline lists all spans of a trace; "!" marks those whose link is not right.
func (b *book) timeline(w *strings.Builder, t *trace, child *Span) {
	spans := t.all()
	slices.SortStableFunc(spans, func(x, y *Span) int { return cmp.Compare(x.Start, y.Start) })
	for _, s := range spans {
		mark := "  "
		switch {
		case s == child:
			mark = "=>"
		case b.verdict(s) != right:
			mark = " !"
		}
		node, side := "?", "server"
		if p, ok := b.places[s]; ok {
			node = t.hops[p.hop].Node
		}
		if s.Client {
			side = "client"
		}
		fmt.Fprintf(w, "  %s %+9.3f ms %8.3f ms  %s %-9s %-12s pid %-7d span %s trace %s.. parent %s", mark, float64(s.Start-spans[0].Start)/1e6,
			float64(s.End-s.Start)/1e6, side, node, b.processes[s.PID], s.PID, s.SpanID, s.TraceID.String()[:6], cmp.Or(s.ParentID.String(), "-"))
		for _, extra := range []string{s.Method, s.Extra} {
			if extra != "" {
				w.WriteString(" " + extra)
			}
		}
		if s.Links > 0 {
			fmt.Fprintf(w, " %d links", s.Links)
		}
		w.WriteString("\n")
	}
}

// rightParent of a span that has its place; nil if that is none, or not reported.
func (b *book) rightParent(s *Span) *Span {
	p := b.places[s]
	if !s.Client {
		return p.trace.clients[p.hop]
	}
	return p.trace.servers[p.trace.hops[p.hop].Parent]
}

// verdict on a span's parent.
func (b *book) verdict(s *Span) verdict {
	p, ok := b.places[s]
	switch {
	case !ok:
		return wrong
	case p.trace.hops[p.hop].Parent < 0: // a root
		if s.ParentID.IsEmpty() {
			return right
		}
		return wrong
	}
	return link(s, b.rightParent(s))
}

// WriteSpans writes a file with all spans, one JSON object per line, and their
// right parents.
func (r *Result) WriteSpans(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	out := json.NewEncoder(w)
	spans := slices.SortedFunc(maps.Values(r.book.spans), func(x, y *Span) int { return cmp.Compare(x.Start, y.Start) })
	for _, s := range spans {
		line := struct {
			Scenario string  `json:"scenario"`
			ID       string  `json:"id"`
			Node     string  `json:"node"`
			Service  string  `json:"service"`
			PID      int     `json:"pid"`
			Client   bool    `json:"client"`
			Start    int64   `json:"start"`
			End      int64   `json:"end"`
			Trace    string  `json:"trace"`
			Span     string  `json:"span"`
			Parent   string  `json:"parent"`
			Right    string  `json:"right_parent"`
			Verdict  verdict `json:"verdict"`
			Method   string  `json:"method"`
			Extra    string  `json:"extra"`
		}{Service: r.book.processes[s.PID], Client: s.Client, PID: s.PID, Start: s.Start, End: s.End, Trace: s.TraceID.String(),
			Span: s.SpanID.String(), Parent: s.ParentID.String(), Method: s.Method, Extra: s.Extra}
		line.Scenario, line.ID, line.Node, _ = parsePath(s.Path)
		if _, ok := r.book.places[s]; ok {
			if p := r.book.rightParent(s); p != nil {
				line.Right = p.SpanID.String()
			}
		}
		line.Verdict = r.book.verdict(s)
		if err := out.Encode(line); err != nil {
			return err
		}
	}
	return w.Flush()
}
