// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	Settings *dbconv.Settings
}

type cassandra struct {
	o Options
}

// New makes the registry entry.
func New(o Options) protocol.Protocol { return &cassandra{o} }

func (*cassandra) Name() string { return "cassandra" }

// Describe implements protocol.Protocol.
func (*cassandra) Describe() protocol.Description { return protocol.Description{} }

// Detect implements protocol.Protocol.
func (*cassandra) Detect(*protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return protocol.Rejected, protocol.Received
}

// New implements protocol.Protocol.
func (*cassandra) New(protocol.Host, protocol.Direction) protocol.Parser { return nil }
