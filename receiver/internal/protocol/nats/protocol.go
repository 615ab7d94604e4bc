// SPDX-License-Identifier: Apache-2.0

package nats

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	Settings *messagingconv.Settings
}

type nats struct {
	o Options
}

// New makes the registry entry.
func New(o Options) protocol.Protocol { return &nats{o} }

func (*nats) Name() string { return "nats" }

// Describe implements protocol.Protocol.
func (*nats) Describe() protocol.Description {
	return protocol.Description{
		Title:  "NATS, with JetStream",
		Server: "`SERVER` per message published or delivered, per request until its reply, and per JetStream API request",
		Client: "`CLIENT` per `publish`, `request` (until the reply) and `deliver`; `CONSUMER` per `deliver` of a request (until it is answered), " +
			"or of JetStream's (until it is acknowledged)",
		Evidence: "the server's `INFO` with its id; on older connections a whole message",
		Capture:  "everything of small messages; of large ones what is in front of the payload",
	}
}

// Detect implements protocol.Protocol.
func (*nats) Detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) { return detect(e) }

// New implements protocol.Protocol.
func (n *nats) New(h protocol.Host, req protocol.Direction) protocol.Parser {
	p := &parser{subscriptions: map[string]subscription{}}
	p.Init(h, n.o.Settings, "nats", req)
	return p
}

// Beginnings implements protocol.Beginner.
func (*nats) Beginnings() []protocol.Beginning {
	return []protocol.Beginning{
		{Bytes: "INFO {\"se"},
	}
}
