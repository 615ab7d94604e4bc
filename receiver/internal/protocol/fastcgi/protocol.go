// SPDX-License-Identifier: Apache-2.0

package fastcgi

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Name is the key under protocols: in the configuration, and network.protocol.name.
const Name = "fastcgi"

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	// Settings of all exchanges; nil means the zero Settings.
	Settings *httpconv.Settings
}

type fastcgi struct {
	settings *httpconv.Settings
}

// New makes the registry entry.
func New(o Options) protocol.Protocol {
	if o.Settings == nil {
		o.Settings = &httpconv.Settings{}
	}
	return &fastcgi{o.Settings}
}

func (*fastcgi) Name() string { return Name }

// Describe implements protocol.Protocol.
func (*fastcgi) Describe() protocol.Description {
	return protocol.Description{
		Title:    "FastCGI 1.0",
		Server:   "`SERVER` per request, of HTTP",
		Client:   "`CLIENT` per request, of HTTP",
		Evidence: "a BEGIN_REQUEST record",
		Capture:  "parameters, and the first 64 KiB of responses",
	}
}

// Detect implements protocol.Protocol.
func (*fastcgi) Detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	switch e.Role {
	case exchange.RoleClient:
		return detect(e.Bytes[protocol.Sent], len(e.Bytes[protocol.Received]) > 0 && !e.MidStream), protocol.Sent
	case exchange.RoleServer:
		return detect(e.Bytes[protocol.Received], len(e.Bytes[protocol.Sent]) > 0 && !e.MidStream), protocol.Received
	}
	for _, dir := range []protocol.Direction{protocol.Received, protocol.Sent} {
		if v := detect(e.Bytes[dir], false); v == protocol.Accepted || v == protocol.Undecided && len(e.Bytes[dir]) > 0 {
			return v, dir
		}
	}
	if len(e.Bytes[0]) == 0 && len(e.Bytes[1]) == 0 {
		return protocol.Undecided, protocol.Received
	}
	return protocol.Rejected, protocol.Received
}

// detect judges the beginning of the requests.
func detect(b []byte, answered bool) protocol.Verdict {
	if len(b) == 0 {
		if answered {
			return protocol.Rejected
		}
		return protocol.Undecided
	}
	if !mayBegin(b) {
		return protocol.Rejected
	}
	if len(b) < headerSize+beginSize {
		return protocol.Undecided
	}
	return protocol.Accepted
}

// mayBegin reports whether bytes are a BEGIN_REQUEST record, as far as they are there.
func mayBegin(b []byte) bool {
	for i, c := range b[:min(len(b), headerSize+beginSize)] {
		ok := c == 0
		switch i {
		case 0, 1:
			ok = c == 1 // version, type
		case 2, 6:
			ok = true // id, padding
		case 3:
			ok = c != 0 || b[2] != 0
		case 5:
			ok = c == beginSize
		case 9:
			ok = c >= 1 && c <= 3 // role
		case 10:
			ok = c <= 1 // keep the connection
		}
		if !ok {
			return false
		}
	}
	return true
}

// New implements protocol.Protocol.
func (f *fastcgi) New(h protocol.Host, requests protocol.Direction) protocol.Parser {
	p := &parser{host: h, settings: f.settings, requests: requests, role: h.Role(requests)}
	p.searching = [2]bool{h.MidStream, h.MidStream}
	return p
}
