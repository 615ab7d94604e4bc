// SPDX-License-Identifier: Apache-2.0

package memcached

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/ordered"
)

// Name is the key under protocols: in the configuration, and db.system.name.
const Name = "memcached"

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	// Settings of all exchanges; nil means the zero Settings.
	Settings *dbconv.Settings
}

type memcached struct {
	settings *dbconv.Settings
}

// New makes the registry entry.
func New(o Options) protocol.Protocol {
	if o.Settings == nil {
		o.Settings = &dbconv.Settings{}
	}
	return &memcached{o.Settings}
}

func (*memcached) Name() string { return Name }

// Describe implements protocol.Protocol.
func (*memcached) Describe() protocol.Description {
	return protocol.Description{
		Title:    "Memcached text, meta and binary",
		Server:   "`SERVER` per command",
		Client:   "`CLIENT` per command",
		Evidence: "a command that stores; any other with a reply to it, or, on older connections, with a key; a binary request",
		Capture:  "everything but values of more than 4 KiB, of which lengths are enough",
	}
}

// Detect implements protocol.Protocol; see detect.go.
func (*memcached) Detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return detect(e)
}

// New implements protocol.Protocol.
func (m *memcached) New(h protocol.Host, requests protocol.Direction) protocol.Parser {
	p := &parser{
		pairing:  ordered.New[extra, reply](h, m.settings, Name, requests),
		host:     h,
		settings: m.settings,
		requests: requests,
	}
	p.searching[inRequests], p.searching[inReplies] = h.MidStream, h.MidStream
	return p
}
