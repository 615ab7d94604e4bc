// SPDX-License-Identifier: Apache-2.0

package spans

import (
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// putLink links the span to a request that is not certainly its parent.
func putLink(s ptrace.Span, c *exchange.Context) {
	l := s.Links().AppendEmpty()
	l.SetTraceID(c.LinkTraceID)
	l.SetSpanID(c.LinkSpanID)
	putMethod(l.Attributes(), c.Method)
}

// putLinks links to the spans whose contexts came with messages.
func putLinks(s ptrace.Span, links []exchange.Link) {
	for i := range links {
		l := s.Links().AppendEmpty()
		l.SetTraceID(links[i].TraceID)
		l.SetSpanID(links[i].SpanID)
		l.SetFlags(uint32(links[i].Flags) | flagHasIsRemote | flagIsRemote)
		if utf8.ValidString(links[i].State) {
			l.TraceState().FromRaw(links[i].State)
		}
	}
}

// putMethod sets the ebpf.parent.method attribute.
func putMethod(m pcommon.Map, method exchange.Method) {
	m.PutStr(exchange.ParentMethod, method.String())
}
