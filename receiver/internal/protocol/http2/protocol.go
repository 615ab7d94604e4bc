// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	Settings *httpconv.Settings
	// GRPC and HTTP: what is reported of the connection.
	GRPC, HTTP bool
}

type http2 struct {
	o Options
}

// New makes the registry entry.
func New(o Options) protocol.Protocol { return &http2{o} }

func (*http2) Name() string { return "http2" }

// Describe implements protocol.Protocol.
func (*http2) Describe() protocol.Description { return protocol.Description{} }

// Detect implements protocol.Protocol.
func (*http2) Detect(*protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return protocol.Rejected, protocol.Received
}

// New implements protocol.Protocol.
func (*http2) New(protocol.Host, protocol.Direction) protocol.Parser { return nil }
