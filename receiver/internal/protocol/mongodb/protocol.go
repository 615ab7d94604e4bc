// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Name is the key under protocols: in the configuration.
const Name = "mongodb"

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	// Settings go into the Detail of every exchange. Nil means the zero Settings.
	Settings *dbconv.Settings
}

type mongodb struct {
	settings *dbconv.Settings
}

// New makes the registry entry.
func New(o Options) protocol.Protocol {
	if o.Settings == nil {
		o.Settings = &dbconv.Settings{}
	}
	return &mongodb{o.Settings}
}

func (*mongodb) Name() string { return Name }

// Describe implements protocol.Protocol.
func (*mongodb) Describe() protocol.Description {
	return protocol.Description{
		Title:    "MongoDB (OP_MSG, OP_QUERY, OP_COMPRESSED)",
		Server:   "`SERVER` per command",
		Client:   "`CLIENT` per command",
		Evidence: "a message's header, and the document behind it",
		Capture:  "64 KiB of each turn; then everything of turns up to 256 KiB, of longer ones the heads of calls",
	}
}

// Detect implements protocol.Protocol; see detect.go.
func (*mongodb) Detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) { return detect(e) }

// New implements protocol.Protocol.
func (m *mongodb) New(h protocol.Host, req protocol.Direction) protocol.Parser {
	p := &parser{host: h, settings: m.settings, direction: req, role: h.Role(req)}
	return p
}

// Beginnings implements protocol.Beginner.
func (*mongodb) Beginnings() []protocol.Beginning {
	return []protocol.Beginning{
		// responseTo 0, OP_MSG.
		{Bytes: "???\x00????\x00\x00\x00\x00\xdd\x07\x00\x00", Mask: "\x00\x00\x00\x01\x00\x00\x00\x00\x01\x01\x01\x01\x01\x01\x01\x01"},
	}
}
