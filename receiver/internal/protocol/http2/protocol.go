// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/rpcconv"
)

// Name is the key of counters; in the configuration, HTTP/2 has those of http and grpc.
const Name = "http2"

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	// Settings and RPC go into the Details of exchanges. Nil means zero ones.
	Settings *httpconv.Settings
	RPC      *rpcconv.Settings
	// GRPC and HTTP: what is reported of the connection.
	GRPC, HTTP bool
}

type http2 struct {
	o Options
}

// New makes the registry entry.
func New(o Options) protocol.Protocol {
	if o.Settings == nil {
		o.Settings = &httpconv.Settings{}
	}
	if o.RPC == nil {
		o.RPC = &rpcconv.Settings{}
	}
	return &http2{o}
}

func (*http2) Name() string { return Name }

// Describe implements protocol.Protocol.
func (*http2) Describe() protocol.Description {
	return protocol.Description{
		Title:  "HTTP/2 in the clear (prior knowledge, and upgraded from HTTP/1.1), gRPC, gRPC-Web",
		Server: "`SERVER` per request or call",
		Client: "`CLIENT` per request or call",
		Evidence: "the connection preface; on older connections frames that follow each other, with a header section among " +
			"them that can be decoded",
		Capture: "heads of frames, and what is in them but for DATA of over 4 KiB, of which bodies' beginnings; on connections that were upgraded, or older, " +
			"everything, up to `limits.max_payload` of each call",
	}
}

// Detect implements protocol.Protocol; see detect.go.
func (*http2) Detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) { return detect(e) }

// New implements protocol.Protocol.
func (h *http2) New(host protocol.Host, req protocol.Direction) protocol.Parser {
	return newParser(host, h.o, req)
}

// Beginnings implements protocol.Beginner.
func (*http2) Beginnings() []protocol.Beginning {
	return []protocol.Beginning{
		{Bytes: "PRI * HTTP/2.0\r\n", Framed: true, Skip: uint8(len(preface))}, // RFC 9113 section 3.4
		// SETTINGS of at most 255 bytes: a server may speak first, and what it sends
		// next may be megabytes.
		{Bytes: "\x00\x00?\x04\x00\x00\x00\x00\x00", Mask: "\x01\x01\x00\x01\x01\x01\x01\x01\x01", Framed: true},
	}
}
