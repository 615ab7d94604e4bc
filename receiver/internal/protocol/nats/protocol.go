// SPDX-License-Identifier: Apache-2.0

package nats

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	Settings *messagingconv.Settings
}

type nats struct {
	o Options
}

// New makes the registry entry.
func New(o Options) protocol.Protocol { return &nats{o} }

func (*nats) Name() string { return "nats" }

// Describe implements protocol.Protocol.
func (*nats) Describe() protocol.Description { return protocol.Description{} }

// Detect implements protocol.Protocol.
func (*nats) Detect(*protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return protocol.Rejected, protocol.Received
}

// New implements protocol.Protocol.
func (*nats) New(protocol.Host, protocol.Direction) protocol.Parser { return nil }
