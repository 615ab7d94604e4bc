// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/xpdata"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
)

// Attribute names. Semantic conventions v1.43.0 have a metric for DNS and attributes,
// but no span.
const (
	attrQuestion        = "dns.question.name"
	attrAnswers         = "dns.answers"
	attrErrorType       = "error.type"
	attrProtocol        = "network.protocol.name"
	attrQuestionType    = "ebpf.dns.question.type"      // A, AAAA, SRV...
	attrResponseCode    = "ebpf.dns.response.code"      // NOERROR, NXDOMAIN...
	attrTruncated       = "ebpf.dns.response.truncated" // the client has to ask again over TCP
	attrOperation       = "ebpf.dns.opcode"             // NOTIFY, UPDATE...; absent for queries
	durationDescription = "Measures the time taken to perform a DNS lookup."
)

// durationBounds are those the conventions advise, in s.
var durationBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// instruments of DNS. The conventions' is that of clients.
var instruments = &exchange.Protocol{
	Name:   "dns",
	Server: []exchange.Instrument{{Name: "ebpf.dns.server.lookup.duration", Description: "Time a DNS server takes to answer.", Unit: "s", Bounds: durationBounds}},
	Client: []exchange.Instrument{{Name: "dns.lookup.duration", Description: durationDescription, Unit: "s", Bounds: durationBounds}},
}

var withKernel = instruments.WithKernel()

// detail is the DNS half of an exchange.
type detail struct {
	kernel    bool
	strings   *intern.Table
	question  string
	kind      uint16
	opcode    uint16
	answered  bool
	code      uint16
	truncated bool
	answers   []netip.Addr

	scratch    []byte
	attributes xpdata.MapBuilder
}

var _ exchange.Detail = (*detail)(nil)

func (d *detail) Protocol() *exchange.Protocol {
	if d.kernel {
		return withKernel
	}
	return instruments
}

// SpanName is "DNS" and the type asked for: names are no matter of low cardinality.
func (d *detail) SpanName(*exchange.Exchange) string {
	if name := d.operation(); name != "" {
		return "DNS " + name
	}
	d.scratch = append(append(d.scratch[:0], "DNS "...), typeName(d.kind)...)
	return d.strings.String(d.scratch)
}

func (d *detail) operation() string {
	switch d.opcode {
	case opcodeStatus:
		return "STATUS"
	case opcodeNotify:
		return "NOTIFY"
	case opcodeUpdate:
		return "UPDATE"
	}
	return ""
}

func (d *detail) SpanKind(x *exchange.Exchange) ptrace.SpanKind {
	if x.Role == exchange.RoleClient {
		return ptrace.SpanKindClient
	}
	return ptrace.SpanKindServer
}

// SpanStatus is an error where a lookup failed; for a server, a name that does not exist
// is an answer like any other.
func (d *detail) SpanStatus(x *exchange.Exchange) ptrace.StatusCode {
	if d.errorType(x) != "" {
		return ptrace.StatusCodeError
	}
	return ptrace.StatusCodeUnset
}

const codeNXDOMAIN = 3

func (d *detail) errorType(x *exchange.Exchange) string {
	switch {
	case !d.answered:
		return x.Failure.ErrorType()
	case d.code == 0, d.code == codeNXDOMAIN && x.Role != exchange.RoleClient:
		return ""
	}
	return codeName(d.code)
}

func (d *detail) PutSpanAttributes(x *exchange.Exchange, m pcommon.Map) {
	b := &d.attributes
	b.EnsureCapacity(m.Len() + 16 + x.KernelAttributes())
	for k, v := range m.All() {
		v.CopyTo(b.AppendEmpty(k))
	}
	b.AppendEmpty(attrProtocol).SetStr("dns")
	if d.question != "" {
		b.AppendEmpty(attrQuestion).SetStr(d.question)
		b.AppendEmpty(attrQuestionType).SetStr(typeName(d.kind))
	}
	if name := d.operation(); name != "" {
		b.AppendEmpty(attrOperation).SetStr(name)
	}
	if d.answered {
		b.AppendEmpty(attrResponseCode).SetStr(codeName(d.code))
		if d.truncated {
			b.AppendEmpty(attrTruncated).SetBool(true)
		}
	}
	if len(d.answers) > 0 {
		list := b.AppendEmpty(attrAnswers).SetEmptySlice()
		list.EnsureCapacity(len(d.answers))
		for _, a := range d.answers {
			d.scratch = a.AppendTo(d.scratch[:0])
			list.AppendEmpty().SetStr(d.strings.String(d.scratch))
		}
	}
	if e := d.errorType(x); e != "" {
		b.AppendEmpty(attrErrorType).SetStr(e)
	}
	x.PutAddresses(b)
	x.PutKernelAttributes(b)
	b.UnsafeIntoMap(m)
}

func (d *detail) Suppressed(*exchange.Exchange) (traces, metrics bool) { return false, false }

func (d *detail) AppendMetricKey(x *exchange.Exchange, b []byte) []byte {
	failure := d.errorType(x)
	b = append(b, byte(len(failure)))
	return append(append(b, failure...), d.question...)
}

func (d *detail) PutMetricAttributes(x *exchange.Exchange, m pcommon.Map) {
	m.PutStr(attrQuestion, d.question)
	if e := d.errorType(x); e != "" {
		m.PutStr(attrErrorType, e)
	}
}

func (d *detail) Measure(x *exchange.Exchange, values []float64) {
	values[0] = x.Seconds()
	if d.kernel {
		x.MeasureKernel(values[1:])
	}
}

func (d *detail) AppendActiveKey(_ *exchange.Exchange, b []byte) []byte { return b }
func (d *detail) PutActiveAttributes(*exchange.Exchange, pcommon.Map)   {}
