// SPDX-License-Identifier: Apache-2.0

// Package http2 compares what the collector reports of HTTP/2 and gRPC with what
// clients and servers did: grpc-go, gRPC's C core (Python), net/http, nginx, nghttp2
// and curl.
package http2
