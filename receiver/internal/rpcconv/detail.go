// SPDX-License-Identifier: Apache-2.0

package rpcconv

import (
	"bytes"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/xpdata"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
)

// Attribute names of semantic conventions v1.43.0; a test compares them with the Go
// semconv package.
const (
	attrSystem    = "rpc.system.name"
	attrMethod    = "rpc.method"
	attrStatus    = "rpc.response.status_code"
	attrErrorType = "error.type"

	// attrWeb is our own: the call was gRPC-Web, which proxies translate.
	attrWeb = "ebpf.rpc.grpc_web"
)

// grpc is rpc.system.name.
const grpc = "grpc"

// Settings are shared by all exchanges of a protocol.
type Settings struct {
	// Kernel adds histograms of what only the kernel knows.
	Kernel bool
}

// MaxPath bounds the request path kept, in bytes.
const MaxPath = 1 << 10

// Detail is the RPC half of an exchange. It is reused: Reset keeps the buffers. What
// concerns the request must be in place before Sink.Begin and stay until the next
// Reset; what concerns the response, before Sink.End.
type Detail struct {
	Settings *Settings
	// Strings is the table of the goroutine that owns the connection; nil works and
	// allocates more.
	Strings *intern.Table
	// Path is the path of the request, "/package.Service/Method"; Authority the
	// server as the client named it.
	Path, Authority []byte
	// Web: gRPC-Web.
	Web bool
	// Code is the call's status; NoCode if none was seen. Error is error.type where
	// there is none but the call failed.
	Code  Code
	Error string

	attributes xpdata.MapBuilder // empty between calls
}

// Reset prepares the Detail for the next exchange. Settings, Strings and the memory of
// the buffers stay.
func (d *Detail) Reset() {
	d.Path, d.Authority = d.Path[:0], d.Authority[:0]
	d.Web = false
	d.Code, d.Error = NoCode, ""
}

var _ exchange.Detail = (*Detail)(nil)

// method is the fully qualified name: the path without its slash.
func (d *Detail) method() string { return d.Strings.String(bytes.TrimPrefix(d.Path, []byte("/"))) }

// exports is how the methods begin by which telemetry is exported (OTLP over gRPC).
const exports = "/opentelemetry.proto.collector."

// Suppressed implements exchange.Detail. Exports of telemetry are left out: what their
// receiver does is reported in the next export, which would never end.
func (d *Detail) Suppressed(*exchange.Exchange) (traces, metrics bool) {
	export := bytes.HasPrefix(d.Path, []byte(exports))
	return export, export
}

// tracesExport is the call by which traces are exported (OTLP/gRPC).
const tracesExport = exports + "trace.v1.TraceService/Export"

// ExportsTraces implements exchange.Exporter.
func (d *Detail) ExportsTraces() (export, done bool) {
	return string(d.Path) == tracesExport, d.Code == 0
}

// SpanName implements exchange.Detail.
func (d *Detail) SpanName(*exchange.Exchange) string {
	if m := d.method(); m != "" {
		return m
	}
	return grpc
}

// SpanKind implements exchange.Detail.
func (d *Detail) SpanKind(x *exchange.Exchange) ptrace.SpanKind {
	if x.Role == exchange.RoleClient {
		return ptrace.SpanKindClient
	}
	return ptrace.SpanKindServer
}

// SpanStatus implements exchange.Detail.
func (d *Detail) SpanStatus(x *exchange.Exchange) ptrace.StatusCode {
	if d.errorType(x) != "" {
		return ptrace.StatusCodeError
	}
	return ptrace.StatusCodeUnset
}

// errorType is the value of error.type, "" for success.
func (d *Detail) errorType(x *exchange.Exchange) string {
	if d.Code.IsError(x.Role == exchange.RoleClient) {
		return d.Code.String()
	}
	if d.Error != "" {
		return d.Error
	}
	return x.Failure.ErrorType()
}

// server is server.address and server.port: what a client asked for, else the
// server's end of the socket.
func (d *Detail) server(x *exchange.Exchange) (address string, port int) {
	socket, socketPort := x.ServerAddress()
	if len(d.Authority) > 0 && !(x.Connection != nil && x.Connection.Transport == exchange.TransportUnix) {
		if address, port = httpconv.SplitHost(d.Strings.String(d.Authority)); address != "" {
			if port == 0 {
				port = socketPort
			}
			return address, port
		}
	}
	return socket, socketPort
}

// PutSpanAttributes implements exchange.Detail.
func (d *Detail) PutSpanAttributes(x *exchange.Exchange, m pcommon.Map) {
	b := &d.attributes
	b.EnsureCapacity(m.Len() + 11 + x.KernelAttributes())
	for k, v := range m.All() {
		v.CopyTo(b.AppendEmpty(k))
	}
	b.AppendEmpty(attrSystem).SetStr(grpc)
	put := func(key, value string) {
		if value != "" {
			b.AppendEmpty(key).SetStr(value)
		}
	}
	put(attrMethod, d.method())
	put(attrStatus, d.Code.String())
	put(attrErrorType, d.errorType(x))
	if d.Web {
		b.AppendEmpty(attrWeb).SetBool(true)
	}
	if address, port := d.server(x); address != "" {
		b.AppendEmpty(exchange.AttrServerAddress).SetStr(address)
		if port != 0 {
			b.AppendEmpty(exchange.AttrServerPort).SetInt(int64(port))
		}
	}
	if peer, port := x.Connection.Address(false); peer != "" {
		if x.Role != exchange.RoleClient {
			b.AppendEmpty(exchange.AttrClientAddress).SetStr(peer)
		}
		b.AppendEmpty(exchange.AttrPeerAddress).SetStr(peer)
		if port != 0 {
			b.AppendEmpty(exchange.AttrPeerPort).SetInt(int64(port))
		}
	}
	if x.Connection != nil && x.Connection.Transport == exchange.TransportUnix {
		b.AppendEmpty(exchange.AttrTransport).SetStr("unix")
	}
	x.PutKernelAttributes(b)
	b.UnsafeIntoMap(m)
}
