// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	Settings *messagingconv.Settings
}

type kafka struct {
	o Options
}

// New makes the registry entry.
func New(o Options) protocol.Protocol { return &kafka{o} }

func (*kafka) Name() string { return "kafka" }

// Describe implements protocol.Protocol.
func (*kafka) Describe() protocol.Description { return protocol.Description{} }

// Detect implements protocol.Protocol.
func (*kafka) Detect(*protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return protocol.Rejected, protocol.Received
}

// New implements protocol.Protocol.
func (*kafka) New(protocol.Host, protocol.Direction) protocol.Parser { return nil }
