// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// joins are the requests of a case of which both ends came as one span each, by what
// is the parent of the server's.
type joins struct{ right, missing, wrong int }

// Share of those that are right, in percent.
func (j joins) Share() float64 {
	return 100 * float64(j.right) / float64(max(j.right+j.missing+j.wrong, 1))
}

// checkJoins demands that the server's span of a request is the child of the client's,
// and of no other: pipelined ones too.
func (s *suite) checkJoins() {
	type ends struct{ client, server []*groundtruth.Span }
	requests := map[string]*ends{}
	ids := map[pcommon.SpanID]bool{}
	for _, sp := range s.sink.Spans() {
		ids[sp.SpanID] = true
		path := sp.Path()
		if path == "" {
			continue
		}
		r := requests[path]
		if r == nil {
			r = &ends{}
			requests[path] = r
		}
		switch sp.Kind {
		case ptrace.SpanKindClient:
			r.client = append(r.client, sp)
		case ptrace.SpanKindServer:
			r.server = append(r.server, sp)
		}
	}
	cases := map[string]joins{}
	all := joins{}
	for path, r := range requests {
		name, _, ok := groundtruth.ParsePath(path)
		if !ok || len(r.client) != 1 || len(r.server) != 1 {
			continue
		}
		j := cases[name]
		switch parent := r.server[0].ParentID; {
		case parent == r.client[0].SpanID && r.server[0].TraceID == r.client[0].TraceID:
			j.right++
			all.right++
		case parent.IsEmpty(), r.server[0].Text("ebpf.parent.method") == "header":
			// Or that which the request names, if the client's end came late.
			j.missing++
			all.missing++
		default:
			j.wrong++
			all.wrong++
		}
		cases[name] = j
	}
	var imperfect []string
	for name, j := range cases {
		if j.missing+j.wrong > 0 {
			imperfect = append(imperfect, fmt.Sprintf("%s: %d right, %d missing, %d wrong", name, j.right, j.missing, j.wrong))
		}
	}
	slices.Sort(imperfect)
	s.t.Logf("both ends joined: %.3f %% of %d, %d missing, %d wrong\n%s", all.Share(), all.right+all.missing+all.wrong, all.missing, all.wrong, strings.Join(imperfect, "\n"))
	assert.Zero(s.t, all.wrong, "wrong parents")
	assert.GreaterOrEqual(s.t, all.Share(), 99.3)
}
