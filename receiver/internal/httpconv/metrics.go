// SPDX-License-Identifier: Apache-2.0

package httpconv

import (
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// durationBounds are those the conventions advise, in s.
var durationBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// sizeBounds are powers of four from 64 B to 64 MiB, in By. The conventions
// advise none. Zero is a bucket of its own, so that messages without a body do
// not blur the small ones.
var sizeBounds = []float64{0, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20}

// Protocol describes HTTP's instruments: duration, request body size, response
// body size, and the number of requests in flight.
var Protocol = &exchange.Protocol{
	Name: "http",
	Server: []exchange.Instrument{
		{Name: "http.server.request.duration", Description: "Duration of HTTP server requests.", Unit: "s", Bounds: durationBounds},
		{Name: "http.server.request.body.size", Description: "Size of HTTP server request bodies.", Unit: "By", Bounds: sizeBounds},
		{Name: "http.server.response.body.size", Description: "Size of HTTP server response bodies.", Unit: "By", Bounds: sizeBounds},
	},
	Client: []exchange.Instrument{
		{Name: "http.client.request.duration", Description: "Duration of HTTP client requests.", Unit: "s", Bounds: durationBounds},
		{Name: "http.client.request.body.size", Description: "Size of HTTP client request bodies.", Unit: "By", Bounds: sizeBounds},
		{Name: "http.client.response.body.size", Description: "Size of HTTP client response bodies.", Unit: "By", Bounds: sizeBounds},
	},
	Active: exchange.Instrument{
		Name: "http.server.active_requests", Description: "Number of active HTTP server requests.", Unit: "{request}",
	},
}

// withKernel is Protocol and what only the kernel knows.
var withKernel = Protocol.WithKernel()

// Protocol implements exchange.Detail.
func (d *Detail) Protocol() *exchange.Protocol {
	if d.Settings.kernel {
		return withKernel
	}
	return Protocol
}

// Measure implements exchange.Detail.
func (d *Detail) Measure(x *exchange.Exchange, values []float64) {
	values[0] = x.Seconds()
	values[1] = size(d.RequestBody)
	values[2] = size(d.ResponseBody)
	if d.Settings.kernel {
		x.MeasureKernel(values[3:])
	}
}

func size(n int64) float64 {
	if n < 0 {
		return math.NaN()
	}
	return float64(n)
}

// AppendMetricKey implements exchange.Detail: everything PutMetricAttributes
// looks at, in a form that cannot be read in two ways: numbers and lengths
// first, then the texts.
func (d *Detail) AppendMetricKey(x *exchange.Exchange, b []byte) []byte {
	r := d.parsed()
	failure, broken := x.Failure, d.Error
	if d.statusIsError(x) {
		failure, broken = exchange.FailureNone, "" // error.type is the status
	}
	template := d.template(x)
	client := x.Role == exchange.RoleClient
	scheme, address, port := r.scheme, "", 0
	if client {
		scheme = ""
	}
	if client || d.Settings.serverAddress {
		address, port = d.server(x)
	}
	b = append(b, byte(d.Version), byte(d.Status>>8), byte(d.Status), byte(failure), byte(port>>8), byte(port),
		byte(len(r.method)>>8), byte(len(r.method)), byte(len(template)>>8), byte(len(template)),
		byte(len(scheme)>>8), byte(len(scheme)), byte(len(broken)), byte(len(d.Carrier)))
	b = append(append(append(append(b, r.method...), template...), scheme...), broken...)
	return append(append(b, d.Carrier...), address...)
}

// PutMetricAttributes implements exchange.Detail.
func (d *Detail) PutMetricAttributes(x *exchange.Exchange, m pcommon.Map) {
	r := d.parsed()
	client := x.Role == exchange.RoleClient
	m.EnsureCapacity(m.Len() + 8)
	m.PutStr(attrRequestMethod, r.method)
	template := d.template(x)
	switch {
	case client && template != "":
		m.PutStr(attrURLTemplate, template)
	case template != "":
		m.PutStr(attrRoute, template)
	}
	if !client {
		m.PutStr(attrURLScheme, r.scheme)
	}
	if d.Status != 0 {
		m.PutInt(attrResponseStatusCode, int64(d.Status))
	}
	if e := d.errorType(x); e != "" {
		m.PutStr(attrErrorType, e)
	}
	if d.Carrier != "" {
		m.PutStr(attrProtocolName, d.Carrier)
	}
	if v := d.Version.String(); v != "" {
		m.PutStr(attrProtocolVersion, v)
	}
	if client || d.Settings.serverAddress {
		if address, port := d.server(x); address != "" {
			m.PutStr(attrServerAddress, address)
			if port != 0 {
				m.PutInt(attrServerPort, int64(port))
			}
		}
	}
}

// AppendActiveKey implements exchange.Detail.
func (d *Detail) AppendActiveKey(_ *exchange.Exchange, b []byte) []byte {
	r := d.parsed()
	b = append(b, byte(len(r.method)>>8), byte(len(r.method)))
	return append(append(b, r.method...), r.scheme...)
}

// PutActiveAttributes implements exchange.Detail.
func (d *Detail) PutActiveAttributes(_ *exchange.Exchange, m pcommon.Map) {
	r := d.parsed()
	m.EnsureCapacity(m.Len() + 2)
	m.PutStr(attrRequestMethod, r.method)
	m.PutStr(attrURLScheme, r.scheme)
}
