// SPDX-License-Identifier: Apache-2.0

// Package http1 understands HTTP/1.0 and HTTP/1.1 on one connection: segments
// with gaps in, exchanges out.
//
// The parser is two streams and a queue. Each stream (requests, responses)
// follows the message framing of RFC 9112; the queue pairs responses with
// requests in order (RFC 9112 section 9.3.2). Bodies are skipped by arithmetic
// on lengths, because most of their bytes are never copied out of the kernel.
//
// Two different things can be lost, and they are kept apart:
//
//   - Framing: where one message ends and the next begins. A hole in a chunked
//     body, or a head cut by truncated capture. The message in progress then
//     ends by evidence (body.go) and the next one is looked for at the start of
//     a segment.
//   - Pairing: which response belongs to which request. Bytes that passed
//     unseen may have held whole heads. Requests of which the response is not
//     certain any more are abandoned, and none is reported until the connection
//     shows that nothing is outstanding (pairing.go).
//
// What no observer can tell: a client that keeps several requests outstanding,
// of which nothing but one request and one response at a time was seen yet
// (attached in the middle, or bytes lost before its habit showed), looks like
// one that waits for every response.
//
// The trace context of a request is read from the headers below. The first in
// this order that is well-formed counts; one that occurs more than once is not.
//
//   - traceparent and tracestate: W3C Trace Context
//   - b3: the single header of B3
//   - X-B3-TraceId, X-B3-SpanId, X-B3-ParentSpanId, X-B3-Sampled, X-B3-Flags:
//     the same in several headers
//   - uber-trace-id: Jaeger
//   - X-Amzn-Trace-Id: AWS X-Ray; it may name a trace without a span of it
//
// Hexadecimal digits have to be lower-case and ids not zero, as the
// OpenTelemetry propagators for Go want it. B3 and X-Ray can leave the sampling
// decision open (exchange.Remote.Deferred). A decision without ids (b3: 0) says
// nothing of the trace and is ignored, as they do.
//
// References:
//   - RFC 9112, HTTP/1.1: https://www.rfc-editor.org/rfc/rfc9112.html
//   - RFC 9110, HTTP semantics: https://www.rfc-editor.org/rfc/rfc9110.html
//   - W3C Trace Context: https://www.w3.org/TR/trace-context/
//   - B3: https://github.com/openzipkin/b3-propagation
//   - Jaeger: https://www.jaegertracing.io/docs/1.53/client-libraries/#propagation-format
//   - AWS X-Ray: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
//   - AWS load balancers: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-request-tracing.html
//   - Which of B3's encodings comes first: https://opentelemetry.io/docs/specs/otel/context/api-propagators/#b3-requirements
//
// The package must not know about BPF, sockets, files or pdata, nor about what
// becomes of an exchange: names, attributes and metrics are httpconv's.
package http1
