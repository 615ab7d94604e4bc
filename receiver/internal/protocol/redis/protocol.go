// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/ordered"
)

// Name is the key under protocols: in the configuration, and db.system.name. Servers do
// not tell reliably what they are: forks say that they are Redis, for their clients' sake.
const Name = "redis"

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	// Settings of all exchanges; nil means the zero Settings.
	Settings *dbconv.Settings
}

type redis struct {
	settings *dbconv.Settings
}

// New makes the registry entry.
func New(o Options) protocol.Protocol {
	if o.Settings == nil {
		o.Settings = &dbconv.Settings{}
	}
	return &redis{o.Settings}
}

func (*redis) Name() string { return Name }

// Describe implements protocol.Protocol.
func (*redis) Describe() protocol.Description {
	return protocol.Description{
		Title:    "Redis RESP2 and RESP3",
		Server:   "`SERVER` per command",
		Client:   "`CLIENT` per command",
		Evidence: "an array of bulk strings of which the first is a name; or an inline command, and a reply to it",
		Capture:  "everything but values of more than 4 KiB, of which lengths are enough; in calls of more than `limits.max_payload`, all lengths, and the first 256 bytes of longer values",
	}
}

// Detect implements protocol.Protocol; see detect.go.
func (*redis) Detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) { return detect(e) }

// New implements protocol.Protocol.
func (r *redis) New(h protocol.Host, requests protocol.Direction) protocol.Parser {
	p := &parser{
		pairing:  ordered.New[extra, reply](h, r.settings, Name, requests),
		host:     h,
		settings: r.settings,
		requests: requests,
	}
	if h.MidStream {
		p.searching[0], p.searching[1] = true, true
	} else {
		p.database = "0"
	}
	return p
}

// Beginnings implements protocol.Beginner.
func (*redis) Beginnings() []protocol.Beginning {
	return []protocol.Beginning{
		{Bytes: "*?\r\n$", Mask: "\x01\x00\x01\x01\x01", Values: true},
	}
}
