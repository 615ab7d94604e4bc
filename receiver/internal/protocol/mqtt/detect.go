// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"encoding/binary"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// detect judges the evidence: CONNECT is unmistakable. On older connections, packets have to
// fill what a direction moved in a turn, and one of them has to be a message, or they have
// to be answered.
func detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	any, undecided := false, e.MidStream
	for dir, b := range e.Bytes {
		if len(b) == 0 {
			continue
		}
		any = true
		d := protocol.Direction(dir)
		if e.Role != exchange.RoleUnknown && d != protocol.RequestsOf(e.Role) {
			continue
		}
		switch greeting(b) {
		case protocol.Accepted:
			return protocol.Accepted, d
		case protocol.Undecided:
			undecided = true
		}
	}
	if e.MidStream && e.Role != exchange.RoleUnknown {
		req := protocol.RequestsOf(e.Role)
		if agree(packets(e.Bytes[req], true), packets(e.Bytes[req.Other()], false)) {
			return protocol.Accepted, req
		}
	}
	if any && !undecided {
		return protocol.Rejected, 0
	}
	return protocol.Undecided, 0
}

// greeting recognises CONNECT by the protocol's name and level.
func greeting(b []byte) protocol.Verdict {
	if b[0] != connect<<4 {
		return protocol.Rejected
	}
	n, size := varint(b[1:])
	if size < 0 || size > 0 && n < 10 {
		return protocol.Rejected
	}
	if size == 0 {
		return protocol.Undecided
	}
	rest := b[1+size:]
	for _, name := range [...]string{"\x00\x04MQTT\x04", "\x00\x04MQTT\x05", "\x00\x06MQIsdp\x03"} {
		if len(rest) >= len(name) && string(rest[:len(name)]) == name {
			return protocol.Accepted
		}
		if len(rest) < len(name) && name[:len(rest)] == string(rest) {
			return protocol.Undecided
		}
	}
	return protocol.Rejected
}

// found is what packets of one direction say.
type found struct {
	whole bool // nothing but packets
	// ids of packets that are answered, and of answers.
	asked, answered uint16
	ping, published bool
}

// packets reads all that was copied as packets.
func packets(b []byte, client bool) (f found) {
	f.whole = len(b) > 0
	for len(b) > 0 {
		kind, flags, remaining, size := fixed(b)
		if size <= 0 || !valid(kind, flags, remaining, client) {
			return found{}
		}
		body := b[size:]
		if uint64(len(body)) < remaining {
			return found{}
		}
		body, b = body[:remaining], body[remaining:]
		a := arguments{b: body}
		switch kind {
		case publish:
			topic := a.text()
			if a.bad || !isTopic(topic) {
				return found{}
			}
			f.published = f.published || len(topic) > 0
			if flags&6 != 0 {
				f.asked = a.short()
			}
		case subscribe, unsubscribe:
			f.asked = a.short()
		case puback, pubrec, pubcomp, suback, unsuback:
			f.answered = a.short()
		case pubrel:
			f.asked = a.short()
		case pingreq, pingresp:
			f.ping = true
		case connect, connack:
			return found{}
		}
		if a.bad {
			return found{}
		}
	}
	return f
}

// agree reports whether there is a message, or the two directions answer each other. A
// message that fills a turn is evidence enough: its length has to be that of the turn, and
// its topic's length, in two bytes, has to fit in it, which those of texts, of TLS and of
// ASN.1 do not.
func agree(client, broker found) bool {
	if client.whole && client.published || broker.whole && broker.published {
		return true
	}
	return client.whole && broker.whole &&
		(client.ping && broker.ping || client.asked != 0 && client.asked == broker.answered || broker.asked != 0 && broker.asked == client.answered)
}

// plausible checks a packet's beginning as far as it is there.
func plausible(b []byte, client bool) bool {
	kind, flags, remaining, size := fixed(b)
	if size <= 0 || !valid(kind, flags, remaining, client) {
		return false
	}
	if body := b[size:]; kind == publish && len(body) >= 2 {
		n := int(binary.BigEndian.Uint16(body))
		return uint64(n)+2 <= remaining && isTopic(body[2:min(len(body), 2+n)])
	}
	return true
}
