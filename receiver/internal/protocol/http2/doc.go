// SPDX-License-Identifier: Apache-2.0

// Package http2 understands HTTP/2 on one connection, and gRPC and gRPC-Web on top of
// it: segments with gaps in, exchanges out.
//
// Each direction is frames one after the other. The parser reads their heads and the
// header sections; DATA is passed over by length. Requests and responses find each
// other by their streams, so any number can be in flight. A call lasts from the first
// byte of its HEADERS frame to the last one of the frame that ends the response
// (END_STREAM, with the trailers of gRPC), to RST_STREAM, to a GOAWAY that says that it
// was not processed, or to the end of the connection.
//
// Header sections are compressed with a table of what was sent before (RFC 7541). A
// connection that was there before us has one that nobody here has seen: fields that
// refer to it are not known, until they are sent again in full. Requests whose method
// or path is not known make no span; neither do calls of gRPC whose status is not known.
// The same holds after bytes were lost that may have held header sections (resync.go).
//
// CONNECT, also for WebSocket (RFC 8441), is a request that is over when its response
// begins: what the tunnel carries is not looked at. Pushed responses make no spans.
//
// References:
//   - RFC 9113, HTTP/2: https://www.rfc-editor.org/rfc/rfc9113.html
//   - RFC 7541, HPACK: https://www.rfc-editor.org/rfc/rfc7541.html
//   - RFC 7540 section 3.2, the upgrade from HTTP/1.1: https://www.rfc-editor.org/rfc/rfc7540.html#section-3.2
//   - RFC 8441, WebSockets over HTTP/2: https://www.rfc-editor.org/rfc/rfc8441.html
//   - gRPC over HTTP/2: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
//   - gRPC-Web: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md
//
// The package must not know about BPF, sockets, files or pdata, nor about what becomes
// of an exchange: names, attributes and metrics are those of httpconv and rpcconv.
package http2
