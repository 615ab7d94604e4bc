// SPDX-License-Identifier: Apache-2.0

// Package dns follows DNS over UDP and TCP (RFC 1035, 7766, EDNS: RFC 6891) on sockets of
// resolvers and of servers.
//
// A query and its response belong together by id and question; one socket may ask and
// answer, with many queries in flight. A query is unanswered when the client sends it
// again, or when no response came within five seconds, which is how long resolvers wait by
// default: then it is reported with error.type timeout and that duration.
package dns

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Options are what the engine gives the parsers of this protocol.
type Options struct {
	// Kernel adds histograms of what only the kernel knows.
	Kernel bool
	// Answered, if set, is told of every answer with addresses that a client got, before
	// the exchange ends. Nothing of either may be kept but the name.
	Answered func(x *exchange.Exchange, a *Answer)
}

type dns struct {
	o Options
}

// New makes the registry entry.
func New(o Options) protocol.Protocol { return &dns{o} }

var _ protocol.Datagrams = (*dns)(nil)

func (*dns) Name() string { return "dns" }

// Datagrams implements protocol.Datagrams.
func (*dns) Datagrams() {}

// Describe implements protocol.Protocol.
func (*dns) Describe() protocol.Description {
	return protocol.Description{
		Title:    "DNS over UDP and TCP",
		Server:   "`SERVER` per query that is received",
		Client:   "`CLIENT` per query that is sent; unanswered ones end after 5 s with `error.type: timeout`",
		Evidence: "a query with one question and nothing behind it that does not belong to it",
		Capture:  "4 KiB of each message",
	}
}

// Detect implements protocol.Protocol. A whole query decides, for random bytes are none:
// its flags, counts, labels and length have to fit. Multicast DNS (RFC 6762), which asks
// with id 0 and expects any number of answers or none, is something else.
func (*dns) Detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	var buf [maxName + 1]byte
	m := message{name: buf[:0]}
	undecided := false
	for _, dir := range [...]protocol.Direction{protocol.Sent, protocol.Received} {
		b := e.Bytes[dir]
		if len(b) == 0 {
			undecided = true
			continue
		}
		if e.Transport != exchange.TransportUDP {
			if len(b) < lengthSize {
				undecided = true
				continue
			}
			n := int(b[0])<<8 | int(b[1])
			if n < headerSize {
				continue
			}
			b = b[lengthSize:]
			if len(b) < n {
				undecided = undecided || len(b) < headerSize || plausible(b, &m)
				continue
			}
			b = b[:n]
		}
		if plausible(b, &m) && m.whole && !m.response() {
			return protocol.Accepted, dir
		}
	}
	if undecided && e.Transport != exchange.TransportUDP {
		return protocol.Undecided, protocol.Sent
	}
	return protocol.Rejected, protocol.Sent
}

// plausible reports whether b begins like a message with one question.
func plausible(b []byte, m *message) bool {
	if !m.parse(b) && len(b) >= headerSize+maxName {
		return false
	}
	const reserved = 1 << 6
	if m.id == 0 || m.flags&reserved != 0 || m.counts[0] != 1 || m.counts[3] > 4 {
		return false
	}
	switch m.opcode() {
	case opcodeQuery, opcodeNotify:
	case opcodeUpdate:
		return true
	default:
		return false
	}
	if !m.response() && (m.flags&codeMask != 0 || m.opcode() == opcodeQuery && m.counts[1]+m.counts[2] > 1) {
		return false
	}
	if !m.asked {
		return len(b) < headerSize+maxName
	}
	if m.kind == typeNetBIOS || m.kind == typeNetBIOS2 && len(m.name) == 32 {
		return false
	}
	// Classes of the registry; those of multicast have the highest bit set.
	return m.kind != 0 && (m.class == 1 || m.class == 3 || m.class == 4 || m.class == 254 || m.class == 255)
}

// New implements protocol.Protocol.
func (p *dns) New(host protocol.Host, _ protocol.Direction) protocol.Parser {
	return &parser{
		host: host, kernel: p.o.Kernel, udp: host.Connection.Transport == exchange.TransportUDP, pending: map[key]*slot{},
		answered: p.o.Answered, message: message{follow: p.o.Answered != nil},
	}
}
