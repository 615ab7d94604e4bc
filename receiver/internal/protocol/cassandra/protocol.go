// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Name is the key under protocols: in the configuration.
const Name = "cassandra"

// Attribute names of semantic conventions v1.43.0 (docs/db/cassandra.md); a test compares
// them with the Go semconv package.
const (
	attrConsistency = "cassandra.consistency.level"
	attrPageSize    = "cassandra.page.size"
)

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	// Settings go into the Detail of every exchange. Nil means the zero Settings.
	Settings *dbconv.Settings
}

type cassandra struct {
	settings *dbconv.Settings
	servers  servers
}

// New makes the registry entry.
func New(o Options) protocol.Protocol {
	if o.Settings == nil {
		o.Settings = &dbconv.Settings{}
	}
	return &cassandra{settings: o.Settings}
}

func (*cassandra) Name() string { return Name }

// Describe implements protocol.Protocol.
func (*cassandra) Describe() protocol.Description {
	return protocol.Description{
		Title:    "Cassandra (CQL native protocol 3, 4 and 5)",
		Server:   "`SERVER` per QUERY, PREPARE, EXECUTE and BATCH",
		Client:   "`CLIENT` per QUERY, PREPARE, EXECUTE and BATCH",
		Evidence: "OPTIONS or STARTUP; in the middle, a whole request or result; of version 5, an envelope's checksum and the frame in it",
		Capture:  "64 KiB of each turn; then everything of turns up to 256 KiB, of longer ones the heads of calls",
	}
}

// Detect implements protocol.Protocol; see detect.go.
func (*cassandra) Detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return detect(e)
}

// New implements protocol.Protocol.
func (c *cassandra) New(h protocol.Host, req protocol.Direction) protocol.Parser {
	p := &parser{host: h, settings: c.settings, direction: req, role: h.Role(req), flight: make(map[int16]*slot)}
	p.servers = &c.servers
	p.statements = c.servers.acquire(h.Connection, p.role)
	return p
}
