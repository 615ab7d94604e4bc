// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
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
func New(o Options) protocol.Protocol {
	if o.Settings == nil {
		o.Settings = &dbconv.Settings{}
	}
	return &postgresql{o}
}

func (*postgresql) Name() string { return "postgresql" }

// Describe implements protocol.Protocol.
func (*postgresql) Describe() protocol.Description {
	return protocol.Description{
		Title:    "PostgreSQL (protocol 3.0 to 3.2)",
		Server:   "`SERVER` per query or execution",
		Client:   "`CLIENT` per query or execution",
		Evidence: "a startup packet; on older connections a turn that is messages from its first byte to its last",
		Capture:  "64 KiB of each call; while values are large, the beginning and end of each",
	}
}

// Detect implements protocol.Protocol.
func (*postgresql) Detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return detect(e)
}

// New implements protocol.Protocol.
func (pg *postgresql) New(host protocol.Host, req protocol.Direction) protocol.Parser {
	p := &parser{
		host:      host,
		settings:  pg.o.Settings,
		direction: req,
		role:      host.Role(req),
		system:    "postgresql",
		measured:  exchange.Unmeasured,
	}
	return p
}

// Beginnings implements protocol.Beginner.
func (*postgresql) Beginnings() []protocol.Beginning {
	return []protocol.Beginning{
		// Protocol 3.0, and SSLRequest.
		{Bytes: "\x00\x00??\x00\x03\x00\x00", Mask: "\x01\x01\x00\x00\x01\x01\x01\x01"},
		{Bytes: "\x00\x00\x00\x08\x04\xd2\x16\x2f"},
	}
}
