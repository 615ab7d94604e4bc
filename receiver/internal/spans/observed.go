// SPDX-License-Identifier: Apache-2.0

package spans

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// putObserved adds what the kernel found out beside the bytes.
func putObserved(s ptrace.Span, x *exchange.Exchange) {
	a := s.Attributes()
	c := &x.Context
	if c.Method != exchange.MethodNone {
		putMethod(a, c.Method)
	}
	if !c.LinkSpanID.IsEmpty() {
		l := s.Links().AppendEmpty()
		l.SetTraceID(c.LinkTraceID)
		l.SetSpanID(c.LinkSpanID)
		putMethod(l.Attributes(), c.Method)
	}
	m := &x.Measured
	if x.Role == exchange.RoleServer {
		putSeconds(a, exchange.QueueTime, m.QueueTime)
		putSeconds(a, exchange.ThreadCPU, m.ThreadCPU)
		putSeconds(a, exchange.RunQueue, m.RunQueue)
	}
	if m.RTT != 0 {
		putSeconds(a, exchange.RTT, m.RTT)
		a.PutInt(exchange.Retransmits, int64(m.Retransmits))
	}
}

// putMethod sets the ebpf.parent.method attribute.
func putMethod(m pcommon.Map, method exchange.Method) {
	m.PutStr(exchange.ParentMethod, method.String())
}

func putSeconds(m pcommon.Map, key string, us uint32) {
	if us != exchange.NotMeasured {
		m.PutDouble(key, float64(us)/1e6)
	}
}
