// SPDX-License-Identifier: Apache-2.0

package httpconv

import (
	"bytes"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/xpdata"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/route"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/workload"
)

// Version is the HTTP version of a request as network.protocol.version has it.
type Version uint8

const (
	VersionUnknown Version = iota
	Version10
	Version11
	Version2
	Version3
)

var versionNames = [...]string{"", "1.0", "1.1", "2", "3"}

// String is the value of network.protocol.version, "" if unknown.
func (v Version) String() string {
	if int(v) < len(versionNames) {
		return versionNames[v]
	}
	return ""
}

// Detail is the HTTP half of an exchange. It is reused: Reset keeps the
// buffers. The byte slices belong to the Detail (parsers append into them).
//
// What concerns the request must be in place before Sink.Begin and stay until
// the next Reset; what concerns the response, before Sink.End.
type Detail struct {
	// Settings are shared by all exchanges of an engine; never nil.
	Settings *Settings
	// Strings is the table of the goroutine that owns the connection; nil
	// works and allocates more.
	Strings *intern.Table
	// Secure: the exchange went over TLS (or :scheme says so), so that its
	// URL is https. Reset keeps it.
	Secure  bool
	Version Version
	// Carrier is network.protocol.name, where HTTP is carried in another protocol. Reset
	// keeps it.
	Carrier string
	// Method is the method token as sent; Target the request target as sent
	// (origin, absolute, authority or asterisk form), possibly cut at
	// MaxTarget bytes with TargetCut set.
	Method, Target []byte
	TargetCut      bool
	// Host is the Host header or :authority, UserAgent the User-Agent header.
	Host, UserAgent []byte
	// Status is the response's status code; 0 if none was seen.
	Status int
	// Error is error.type of a response that did not become complete, although the
	// connection goes on; "" if there is no such thing.
	Error string
	// Connect is the protocol that a CONNECT request asks for (RFC 8441), such as
	// websocket.
	Connect string
	// RequestBody and ResponseBody are payload body sizes in bytes (after
	// removing chunked framing); -1 if not known.
	RequestBody, ResponseBody int64

	// app is what the exchange shows of an application; evident if it shows anything.
	app     *application
	evident bool

	request    request
	route      resolvedRoute
	host       hostCache
	scratch    []byte
	attributes xpdata.MapBuilder // empty between calls

	learner  *route.Learner // of the instance below, for the matcher learns
	learns   *route.Matcher
	instance *workload.Instance
}

// MaxTarget bounds the request target kept, in bytes.
const MaxTarget = 8 << 10

// Reset prepares the Detail for the next exchange. Settings, Strings, Secure
// and the memory of the buffers stay.
func (d *Detail) Reset() {
	d.Version = VersionUnknown
	d.Method, d.Target = d.Method[:0], d.Target[:0]
	d.TargetCut = false
	d.Host, d.UserAgent = d.Host[:0], d.UserAgent[:0]
	d.Status = 0
	d.Error, d.Connect = "", ""
	d.RequestBody, d.ResponseBody = -1, -1
	d.request.parsed, d.request.routed, d.route.resolved, d.evident = false, false, false, false
}

var _ exchange.Detail = (*Detail)(nil)

// Suppressed implements exchange.Detail.
func (d *Detail) Suppressed(x *exchange.Exchange) (traces, metrics bool) {
	r := d.routed(x)
	return r.ignoreTraces, r.ignoreMetrics
}

// tracesPath is how the paths of OTLP/HTTP exports of traces end
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp-request).
const tracesPath = "/v1/traces"

// ExportsTraces implements exchange.Exporter.
func (d *Detail) ExportsTraces() (export, done bool) {
	if string(d.Method) != "POST" {
		return false, false
	}
	d.parsed()
	return bytes.HasSuffix(d.path(), []byte(tracesPath)) && !d.pathCut(), d.Status >= 200 && d.Status < 300
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
	if x.Failure != exchange.FailureNone || d.Error != "" || d.statusIsError(x) {
		return ptrace.StatusCodeError
	}
	return ptrace.StatusCodeUnset
}

// statusIsError: 5xx and codes that do not exist are errors for both sides,
// 4xx for the client, which asked for something it did not get.
func (d *Detail) statusIsError(x *exchange.Exchange) bool {
	switch {
	case d.Status == 0:
		return false
	case d.Status >= 500 || d.Status < 100:
		return true
	default:
		return d.Status >= 400 && x.Role == exchange.RoleClient
	}
}

// errorType is the value of error.type, "" for success.
func (d *Detail) errorType(x *exchange.Exchange) string {
	if d.statusIsError(x) {
		return d.statusText()
	}
	if d.Error != "" {
		return d.Error
	}
	return x.Failure.ErrorType()
}

// statusText is the status code in decimal.
func (d *Detail) statusText() string {
	d.scratch = appendInt(d.scratch[:0], d.Status)
	return d.Strings.String(d.scratch)
}

// SpanName implements exchange.Detail: "{method} {route}", or the method alone, unless
// an application has a name for it.
func (d *Detail) SpanName(x *exchange.Exchange) string {
	if a := d.application(); a != nil {
		if name := d.applicationName(a, x); name != "" {
			return name
		}
	}
	method := d.parsed().method
	if method == methodOther {
		method = "HTTP"
	}
	template := d.template(x)
	if template == "" {
		return method
	}
	d.scratch = append(append(append(d.scratch[:0], method...), ' '), template...)
	return d.Strings.String(d.scratch)
}
