// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	Settings *dbconv.Settings
}

type postgresql struct {
	o Options
}

// New makes the registry entry.
func New(o Options) protocol.Protocol { return &postgresql{o} }

func (*postgresql) Name() string { return "postgresql" }

// Describe implements protocol.Protocol.
func (*postgresql) Describe() protocol.Description { return protocol.Description{} }

// Detect implements protocol.Protocol.
func (*postgresql) Detect(*protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return protocol.Rejected, protocol.Received
}

// New implements protocol.Protocol.
func (*postgresql) New(protocol.Host, protocol.Direction) protocol.Parser { return nil }
