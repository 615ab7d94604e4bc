// SPDX-License-Identifier: Apache-2.0

package causality

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// String is the result as Markdown tables.
func (r *Result) String() string {
	var b strings.Builder
	t := newTable("scenario", "conc.", "requests", "exact", "merged", "in process: right", "wrong", "missing", "unseen",
		"join: right", "wrong", "missing", "unseen", "root wrong", "spans not seen", "unexpected", "failed", "s")
	total := r.Total()
	for _, c := range append(slices.Clone(r.Cases), &total) {
		p, j := c.InProcess, c.Join
		concurrency := fmt.Sprint(c.Concurrency)
		if c == &total {
			concurrency = ""
		}
		t.row(c.Scenario, concurrency, c.Requests, c.Exact, c.Merged, p.Right, p.Wrong, p.Missing, p.Unseen,
			j.Right, j.Wrong, j.Missing, j.Unseen, c.Root.Wrong, c.NotSeen, c.Unexpected, c.Failed, fmt.Sprintf("%.1f", c.Seconds))
	}
	b.WriteString(t.String() + "\n")
	t = newTable("links of", "expected", "right", "right %", "wrong", "missing", "unseen", "span links", "methods: right/wrong/missing")
	for _, name := range r.rowNames() {
		row := r.Rows[name]
		var methods []string
		for _, m := range slices.Sorted(maps.Keys(row.Methods)) {
			c := row.Methods[m]
			methods = append(methods, fmt.Sprintf("%s %d/%d/%d", m, c.Right, c.Wrong, c.Missing))
		}
		t.row(name, row.Expected, row.Right, fmt.Sprintf("%.2f", row.percent(row.Right)), row.Wrong, row.Missing, row.Unseen, row.Links,
			strings.Join(methods, ", "))
	}
	b.WriteString(t.String())
	for _, c := range r.Cases {
		if c.Failed > 0 {
			fmt.Fprintf(&b, "\n%s at %d: %d requests failed, the first: %s\n", c.Scenario, c.Concurrency, c.Failed, c.Failure)
		}
	}
	if r.Strangers > 0 {
		fmt.Fprintf(&b, "\n%d spans belong to no request\n", r.Strangers)
	}
	if len(r.Lost) > 0 {
		fmt.Fprintf(&b, "\nlost\n  %s\n", strings.Join(r.Lost, "\n  "))
	}
	return b.String()
}

func (c *Count) percent(n int) float64 { return 100 * float64(n) / float64(max(c.Expected, 1)) }

// rowNames are the runtimes, sorted, then the others.
func (r *Result) rowNames() []string {
	names := slices.Sorted(maps.Keys(r.Rows))
	names = slices.DeleteFunc(names, func(n string) bool { return n == JoinRow || n == RootRow })
	for _, n := range []string{JoinRow, RootRow} {
		if r.Rows[n] != nil {
			names = append(names, n)
		}
	}
	return names
}

// table is a Markdown table whose columns line up.
type table struct{ rows [][]string }

func newTable(names ...string) *table { return &table{[][]string{names}} }

func (t *table) row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	t.rows = append(t.rows, row)
}

func (t *table) String() string {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, c := range row {
			widths[i] = max(widths[i], len(c))
		}
	}
	var b strings.Builder
	for n, row := range t.rows {
		for i, c := range row {
			if i == 0 || i == len(row)-1 {
				fmt.Fprintf(&b, "| %-*s ", widths[i], c)
			} else {
				fmt.Fprintf(&b, "| %*s ", widths[i], c)
			}
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, w := range widths {
				b.WriteString("|" + strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}
