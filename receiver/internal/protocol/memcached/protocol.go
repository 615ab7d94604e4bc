// SPDX-License-Identifier: Apache-2.0

package memcached

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	Settings *dbconv.Settings
}

type memcached struct {
	o Options
}

// New makes the registry entry.
func New(o Options) protocol.Protocol { return &memcached{o} }

func (*memcached) Name() string { return "memcached" }

// Describe implements protocol.Protocol.
func (*memcached) Describe() protocol.Description { return protocol.Description{} }

// Detect implements protocol.Protocol.
func (*memcached) Detect(*protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return protocol.Rejected, protocol.Received
}

// New implements protocol.Protocol.
func (*memcached) New(protocol.Host, protocol.Direction) protocol.Parser { return nil }
