// SPDX-License-Identifier: Apache-2.0

package rpcconv

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// durationBounds are those the conventions advise, in s.
var durationBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// Protocol describes the instruments of remote procedure calls.
var Protocol = &exchange.Protocol{
	Name: "rpc",
	Server: []exchange.Instrument{
		{Name: "rpc.server.call.duration", Description: "Measures the duration of an incoming Remote Procedure Call (RPC).", Unit: "s", Bounds: durationBounds},
	},
	Client: []exchange.Instrument{
		{Name: "rpc.client.call.duration", Description: "Measures the duration of an outgoing Remote Procedure Call (RPC).", Unit: "s", Bounds: durationBounds},
	},
}

// withKernel is Protocol and what only the kernel knows.
var withKernel = Protocol.WithKernel()

// Protocol implements exchange.Detail.
func (d *Detail) Protocol() *exchange.Protocol {
	if d.Settings.Kernel {
		return withKernel
	}
	return Protocol
}

// Measure implements exchange.Detail.
func (d *Detail) Measure(x *exchange.Exchange, values []float64) {
	values[0] = x.Seconds()
	if d.Settings.Kernel {
		x.MeasureKernel(values[1:])
	}
}

// AppendMetricKey implements exchange.Detail: numbers and lengths first, then the
// texts.
func (d *Detail) AppendMetricKey(x *exchange.Exchange, b []byte) []byte {
	method, address, port := d.method(), "", 0
	if x.Role == exchange.RoleClient {
		address, port = d.server(x)
	}
	b = append(b, byte(d.Code), byte(x.Failure), byte(port>>8), byte(port), byte(len(method)>>8), byte(len(method)), byte(len(d.Error)))
	return append(append(append(b, method...), d.Error...), address...)
}

// PutMetricAttributes implements exchange.Detail.
func (d *Detail) PutMetricAttributes(x *exchange.Exchange, m pcommon.Map) {
	m.EnsureCapacity(m.Len() + 6)
	m.PutStr(attrSystem, grpc)
	for _, a := range [...][2]string{{attrMethod, d.method()}, {attrStatus, d.Code.String()}, {attrErrorType, d.errorType(x)}} {
		if a[1] != "" {
			m.PutStr(a[0], a[1])
		}
	}
	if x.Role != exchange.RoleClient {
		return
	}
	if address, port := d.server(x); address != "" {
		m.PutStr(exchange.AttrServerAddress, address)
		if port != 0 {
			m.PutInt(exchange.AttrServerPort, int64(port))
		}
	}
}

// AppendActiveKey implements exchange.Detail.
func (d *Detail) AppendActiveKey(_ *exchange.Exchange, b []byte) []byte { return b }

// PutActiveAttributes implements exchange.Detail.
func (d *Detail) PutActiveAttributes(*exchange.Exchange, pcommon.Map) {}
