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
// References:
//   - RFC 9112, HTTP/1.1: https://www.rfc-editor.org/rfc/rfc9112.html
//   - RFC 9110, HTTP semantics: https://www.rfc-editor.org/rfc/rfc9110.html
//   - W3C Trace Context: https://www.w3.org/TR/trace-context/
//
// The package must not know about BPF, sockets, files or pdata, nor about what
// becomes of an exchange: names, attributes and metrics are httpconv's.
package http1
