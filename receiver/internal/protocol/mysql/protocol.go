// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

// Name is the key under protocols: in the configuration.
const Name = "mysql"

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	// Settings go into the Detail of every exchange. Nil means the zero Settings.
	Settings *dbconv.Settings
}

type mysql struct {
	settings *dbconv.Settings
}

// New makes the registry entry.
func New(o Options) protocol.Protocol {
	if o.Settings == nil {
		o.Settings = &dbconv.Settings{}
	}
	return &mysql{o.Settings}
}

func (*mysql) Name() string { return Name }

// Describe implements protocol.Protocol.
func (*mysql) Describe() protocol.Description {
	return protocol.Description{
		Title:    "MySQL and MariaDB, protocol 10",
		Server:   "`SERVER` per command",
		Client:   "`CLIENT` per command",
		Evidence: "the server's greeting; on older connections a query, an execution or a set of results",
		Capture:  "64 KiB of each turn; then everything of results up to 1 MiB, of larger ones the heads of calls",
	}
}

// Detect implements protocol.Protocol; see detect.go.
func (*mysql) Detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) { return detect(e) }

// New implements protocol.Protocol.
func (m *mysql) New(h protocol.Host, req protocol.Direction) protocol.Parser {
	p := &parser{host: h, settings: m.settings, direction: req, role: h.Role(req), system: "mysql"}
	p.req.t, p.resp.t = new(stream.Stream), new(stream.Stream)
	p.window = protocol.Window{Sent: turnWindow, Received: turnWindow, After: everything}
	return p
}

// Beginnings implements protocol.Beginner.
func (*mysql) Beginnings() []protocol.Beginning {
	return []protocol.Beginning{
		// The server's greeting: sequence id 0, protocol 10.
		{Bytes: "??\x00\x00\x0a", Mask: "\x00\x00\x01\x01\x01"},
	}
}
