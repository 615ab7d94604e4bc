// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Name is the key under protocols: in the configuration. HTTP/2 without gRPC
// shares it, the conventions being the same.
const Name = "http"

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	// Settings go into the Detail of every exchange. Nil means the zero
	// Settings.
	Settings *httpconv.Settings
}

type http1 struct {
	settings *httpconv.Settings
}

// New makes the registry entry of HTTP/1.x.
func New(o Options) protocol.Protocol {
	if o.Settings == nil {
		o.Settings = &httpconv.Settings{}
	}
	return &http1{settings: o.Settings}
}

func (*http1) Name() string { return Name }

// Detect implements protocol.Protocol; see detect.go.
func (*http1) Detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return detect(e)
}

// New makes the parser of one connection whose requests travel in direction
// req.
func (h *http1) New(host protocol.Host, req protocol.Direction) protocol.Parser {
	p := &parser{
		host:      host,
		settings:  h.settings,
		direction: req,
		role:      host.Role(req),
		pairing:   pairing{certain: true, answered: true},
		window:    protocol.DefaultWindow,
	}
	return p
}

// Describe implements protocol.Protocol.
func (*http1) Describe() protocol.Description {
	return protocol.Description{
		Title:    "HTTP/1.0 and 1.1",
		Server:   "`SERVER` per request",
		Client:   "`CLIENT` per request",
		Evidence: "a request line; on older connections also a status line in the other direction",
		Capture:  "heads, and the heads of chunks",
	}
}
