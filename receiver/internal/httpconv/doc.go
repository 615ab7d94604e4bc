// SPDX-License-Identifier: Apache-2.0

// Package httpconv maps HTTP exchanges, of any HTTP version, to the
// OpenTelemetry semantic conventions v1.43.0
// (https://opentelemetry.io/docs/specs/semconv/http/).
//
// In: what a parser read off the wire (Detail), and the configuration
// (Settings). Out: span names, kinds, status and attributes, metric attributes
// and values. Nothing here parses messages, and it must never know about BPF,
// about other protocols, or about how spans are batched and metrics aggregated.
//
// # Where the conventions leave a choice
//
//   - X-Forwarded-For and its kin are not trusted: client.address is the peer,
//     server.address what Host says.
//   - A target of which no Host is known is located by the socket.
//   - http.route is set from routes.patterns only, or in the mode that the
//     configuration chose for unmatched paths; url.template, on client spans
//     and client metrics, from routes.patterns only.
//   - http.request.body.size and http.response.body.size (opt-in in the
//     conventions) are on spans that had a body; the metrics also count the
//     requests and responses known to have none, as 0.
//   - network.transport (opt-in) is only set where it is not tcp.
//   - error.type is the status code where that is an error, otherwise eof,
//     connection_reset, timeout or closed (exchange.Failure).
//   - ebpf.url.truncated is true if the target was longer than what was seen;
//     the url attributes then hold its beginning, and there is no route if the
//     path itself was cut.
package httpconv
