// SPDX-License-Identifier: Apache-2.0

// Package tracecontext reads the trace context that requests carry in their headers:
// W3C Trace Context, B3 in one header and in several, Jaeger's uber-trace-id and
// X-Amzn-Trace-Id. Any protocol with headers can use it.
//
// In: header values. Out: exchange.Remote. It must never know how headers are framed.
//
// References:
//   - W3C Trace Context: https://www.w3.org/TR/trace-context/
//   - B3: https://github.com/openzipkin/b3-propagation
//   - Jaeger: https://www.jaegertracing.io/docs/1.53/client-libraries/#propagation-format
//   - AWS X-Ray: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
package tracecontext
