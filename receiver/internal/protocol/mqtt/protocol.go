// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	Settings *messagingconv.Settings
}

type mqtt struct {
	o Options
}

// New makes the registry entry.
func New(o Options) protocol.Protocol { return &mqtt{o} }

func (*mqtt) Name() string { return "mqtt" }

// Describe implements protocol.Protocol.
func (*mqtt) Describe() protocol.Description { return protocol.Description{} }

// Detect implements protocol.Protocol.
func (*mqtt) Detect(*protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return protocol.Rejected, protocol.Received
}

// New implements protocol.Protocol.
func (*mqtt) New(protocol.Host, protocol.Direction) protocol.Parser { return nil }
