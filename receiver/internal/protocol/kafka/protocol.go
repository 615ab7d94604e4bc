// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	// Settings go into the Detail of every exchange. Nil means the zero Settings.
	Settings *messagingconv.Settings
}

// kafka is the registry entry, and what the connections of an engine share.
type kafka struct {
	settings *messagingconv.Settings
	tables   *tables
}

// New makes the registry entry.
func New(o Options) protocol.Protocol {
	if o.Settings == nil {
		o.Settings = &messagingconv.Settings{}
	}
	return &kafka{settings: o.Settings, tables: newTables()}
}

func (*kafka) Name() string { return "kafka" }

// Describe implements protocol.Protocol.
func (*kafka) Describe() protocol.Description {
	return protocol.Description{
		Title: "Apache Kafka, request versions up to 4.1",
		Server: "`SERVER` per topic of a produce request and of a fetch that brought messages, and per other request; " +
			"replicas fetch with `replicate`",
		Client: "`CLIENT` `send {topic}` per topic of a produce request, `poll {topic}` per topic of a fetch that " +
			"brought messages, and per other request. Fetches without messages are not reported",
		Evidence: "a request, and a response with its correlation id; on older connections a request by a named client",
		Capture:  "heads of requests, responses and record batches; 64 KiB of a turn, less of large messages",
	}
}

// Detect implements protocol.Protocol; see detect.go.
func (*kafka) Detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) { return detect(e) }

// New makes the parser of one connection whose requests travel in direction req.
func (k *kafka) New(host protocol.Host, req protocol.Direction) protocol.Parser {
	return newParser(k, host, req)
}

// Beginnings implements protocol.Beginner.
func (*kafka) Beginnings() []protocol.Beginning {
	return []protocol.Beginning{
		// ApiVersions, with which clients begin.
		{Bytes: "\x00\x00\x00?\x00\x12\x00", Mask: "\x01\x01\x01\x00\x01\x01\x01"},
	}
}
