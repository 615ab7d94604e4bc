// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	Settings *messagingconv.Settings
}

type mqtt struct {
	o Options
}

// New makes the registry entry.
func New(o Options) protocol.Protocol { return &mqtt{o} }

func (*mqtt) Name() string { return "mqtt" }

// Describe implements protocol.Protocol.
func (*mqtt) Describe() protocol.Description {
	return protocol.Description{
		Title:  "MQTT 3.1.1 and 5.0",
		Server: "`SERVER` per message published or delivered (with QoS 1 and 2 until it is acknowledged), `connect`, `subscribe` and `unsubscribe`",
		Client: "`CLIENT` per message published (with QoS 1 and 2 until it is acknowledged) or delivered with QoS 0, " +
			"`connect`, `subscribe` and `unsubscribe`; `CONSUMER` per delivery with QoS 1 and 2 (until it is acknowledged)",
		Evidence: "`CONNECT`; on older connections a turn of whole packets with a message among them",
		Capture:  "everything of small messages; of large ones what is in front of the payload",
	}
}

// Detect implements protocol.Protocol.
func (*mqtt) Detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) { return detect(e) }

// New implements protocol.Protocol.
func (m *mqtt) New(h protocol.Host, req protocol.Direction) protocol.Parser {
	p := &parser{}
	p.Init(h, m.o.Settings, "mqtt", req)
	return p
}

// Beginnings implements protocol.Beginner.
func (*mqtt) Beginnings() []protocol.Beginning {
	return []protocol.Beginning{
		{Bytes: "\x10?\x00\x04MQTT", Mask: "\x01\x00\x01\x01\x01\x01\x01\x01"}, // CONNECT
	}
}
