// SPDX-License-Identifier: Apache-2.0

package amqp

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	Settings *messagingconv.Settings
}

type amqp struct {
	o Options
}

// New makes the registry entry.
func New(o Options) protocol.Protocol { return &amqp{o} }

func (*amqp) Name() string { return "amqp" }

// Describe implements protocol.Protocol.
func (*amqp) Describe() protocol.Description { return protocol.Description{} }

// Detect implements protocol.Protocol.
func (*amqp) Detect(*protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return protocol.Rejected, protocol.Received
}

// New implements protocol.Protocol.
func (*amqp) New(protocol.Host, protocol.Direction) protocol.Parser { return nil }
