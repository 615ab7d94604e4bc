// SPDX-License-Identifier: Apache-2.0

package fastcgi

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	Settings *httpconv.Settings
}

type fastcgi struct {
	o Options
}

// New makes the registry entry.
func New(o Options) protocol.Protocol { return &fastcgi{o} }

func (*fastcgi) Name() string { return "fastcgi" }

// Describe implements protocol.Protocol.
func (*fastcgi) Describe() protocol.Description { return protocol.Description{} }

// Detect implements protocol.Protocol.
func (*fastcgi) Detect(*protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return protocol.Rejected, protocol.Received
}

// New implements protocol.Protocol.
func (*fastcgi) New(protocol.Host, protocol.Direction) protocol.Parser { return nil }
