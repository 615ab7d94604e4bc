// SPDX-License-Identifier: Apache-2.0

package amqp

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	Settings *messagingconv.Settings
}

type amqp struct {
	o Options
}

// New makes the registry entry.
func New(o Options) protocol.Protocol { return &amqp{o} }

func (*amqp) Name() string { return "amqp" }

// Describe implements protocol.Protocol.
func (*amqp) Describe() protocol.Description {
	return protocol.Description{
		Title:  "AMQP 0-9-1 (RabbitMQ)",
		Server: "`SERVER` per message published, delivered (until it is acknowledged) or got, and per method with a reply",
		Client: "`CLIENT` per message published (until it is confirmed, where confirms are on), or delivered where nothing is acknowledged, " +
			"`get`, `ack` of what was got, and methods with a reply; `CONSUMER` per delivery until it is acknowledged",
		Evidence: "the protocol header; on older connections a method's or heartbeat's whole frame",
		Capture:  "everything of small messages; of large ones what is in front of the body",
	}
}

// Detect implements protocol.Protocol.
func (*amqp) Detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) { return detect(e) }

// New implements protocol.Protocol.
func (a *amqp) New(h protocol.Host, req protocol.Direction) protocol.Parser {
	p := &parser{channels: map[uint16]*channel{}}
	p.Init(h, a.o.Settings, "rabbitmq", req)
	return p
}

// Beginnings implements protocol.Beginner.
func (*amqp) Beginnings() []protocol.Beginning {
	return []protocol.Beginning{
		{Bytes: "AMQP\x00\x00\x09\x01"},
	}
}
