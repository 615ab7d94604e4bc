// SPDX-License-Identifier: Apache-2.0

package spans

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// Attributes of what only the kernel knows about an exchange. Times are doubles,
// in seconds.
const (
	// AttributeParentMethod says how the span's parent, or linked span, was
	// found: see exchange.Method. Strings.
	AttributeParentMethod = "ebpf.parent.method"
	// AttributeQueueTime, of server spans, is how long the request's bytes had
	// waited in the socket when the application read them.
	AttributeQueueTime = "ebpf.socket.queue_time"
	// AttributeThreadCPU and AttributeRunQueue, of server spans that one thread
	// served, are the CPU time of that thread from request to response, and the
	// time it was runnable but had no CPU.
	AttributeThreadCPU = "ebpf.thread.cpu_time"
	AttributeRunQueue  = "ebpf.thread.runqueue_time"
	// AttributeRTT is the connection's smoothed round trip time at the end of
	// the exchange.
	AttributeRTT = "ebpf.tcp.rtt"
	// AttributeRetransmits, an integer, counts the packets this side sent again
	// during the exchange.
	AttributeRetransmits = "ebpf.tcp.retransmits"
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
		putSeconds(a, AttributeQueueTime, m.QueueTime)
		putSeconds(a, AttributeThreadCPU, m.ThreadCPU)
		putSeconds(a, AttributeRunQueue, m.RunQueue)
	}
	if m.RTT != 0 {
		putSeconds(a, AttributeRTT, m.RTT)
		a.PutInt(AttributeRetransmits, int64(m.Retransmits))
	}
}

// putMethod sets the ebpf.parent.method attribute.
func putMethod(m pcommon.Map, method exchange.Method) {
	m.PutStr(AttributeParentMethod, method.String())
}

func putSeconds(m pcommon.Map, key string, us uint32) {
	if us != exchange.NotMeasured {
		m.PutDouble(key, float64(us)/1e6)
	}
}
