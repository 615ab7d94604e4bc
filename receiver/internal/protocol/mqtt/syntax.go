// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"encoding/binary"
	"unicode/utf8"
)

// Control packet types (MQTT 5.0 section 2.1.2).
const (
	connect     = 1
	connack     = 2
	publish     = 3
	puback      = 4
	pubrec      = 5
	pubrel      = 6
	pubcomp     = 7
	subscribe   = 8
	suback      = 9
	unsubscribe = 10
	unsuback    = 11
	pingreq     = 12
	pingresp    = 13
	disconnect  = 14
	auth        = 15
)

// maxSeen is how much of a packet is looked at, in bytes: topics and properties are in
// front. maxSize is the largest packet there is.
const (
	maxSeen = 64 << 10
	maxSize = 256<<20 - 1
)

// fixed is a fixed header: kind and flags, the length of what follows, and its own length;
// size 0 if b is too short, -1 if it is none.
func fixed(b []byte) (kind, flags byte, remaining uint64, size int) {
	if len(b) == 0 {
		return 0, 0, 0, 0
	}
	n, size := varint(b[1:])
	if size <= 0 {
		return b[0] >> 4, b[0] & 15, 0, size
	}
	return b[0] >> 4, b[0] & 15, n, 1 + size
}

// varint reads a variable byte integer (section 1.5.5).
func varint(b []byte) (n uint64, size int) {
	for i := range min(len(b), 4) {
		n |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return n, i + 1
		}
	}
	if len(b) >= 4 {
		return 0, -1
	}
	return 0, 0
}

// valid checks a fixed header: who may send it, with which flags, and its length.
// version is 0 if it is not known.
func valid(kind, flags byte, remaining uint64, client bool) bool {
	want := byte(0)
	switch kind {
	case publish:
		return flags>>1&3 != 3 && remaining >= 2 && (flags>>1&3 != 0 || flags&8 == 0)
	case pubrel, subscribe, unsubscribe:
		want = 2
	}
	if flags != want {
		return false
	}
	switch kind {
	case connect:
		return client && remaining >= 10
	case connack:
		return !client && remaining >= 2
	case puback, pubrec, pubrel, pubcomp:
		return remaining >= 2
	case subscribe, unsubscribe:
		return client && remaining >= 5
	case suback:
		return !client && remaining >= 3
	case unsuback:
		return !client && remaining >= 2
	case pingreq:
		return client && remaining == 0
	case pingresp:
		return !client && remaining == 0
	case disconnect, auth:
		return true
	}
	return false
}

// arguments reads the fields of a packet. After a field that is not there, bad is set and
// all further ones are zero.
type arguments struct {
	b   []byte
	bad bool
}

func (a *arguments) take(n int) []byte {
	if a.bad || n > len(a.b) {
		a.bad = true
		return nil
	}
	v := a.b[:n]
	a.b = a.b[n:]
	return v
}

func (a *arguments) octet() byte {
	if v := a.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (a *arguments) short() uint16 {
	if v := a.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

// text is a string, or binary data: two bytes of length before it.
func (a *arguments) text() []byte { return a.take(int(a.short())) }

func (a *arguments) varint() uint64 {
	n, size := varint(a.b)
	if size <= 0 || a.bad {
		a.bad = true
		return 0
	}
	a.b = a.b[size:]
	return n
}

// properties are those that are of interest (section 2.2.2.2).
type properties struct {
	length                  int // with the length itself
	alias                   uint16
	traceparent, tracestate []byte
	client                  []byte // assigned client identifier
	correlation             []byte
}

// properties reads a property list. Of one that is not all there only the length is known.
func (a *arguments) properties() (p properties) {
	before := len(a.b)
	n := a.varint()
	if a.bad {
		return p
	}
	p.length = before - len(a.b) + int(n)
	if n > uint64(len(a.b)) {
		a.bad = true
		return p
	}
	list := arguments{b: a.take(int(n))}
	for len(list.b) > 0 && !list.bad {
		switch id := list.octet(); id {
		case 0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2a:
			list.octet()
		case 0x13, 0x21, 0x22:
			list.short()
		case 0x23:
			p.alias = list.short()
		case 0x02, 0x11, 0x18, 0x27:
			list.take(4)
		case 0x0b:
			list.varint()
		case 0x12:
			p.client = list.text()
		case 0x09:
			p.correlation = list.text()
		case 0x03, 0x08, 0x15, 0x16, 0x1a, 0x1c, 0x1f:
			list.text()
		case 0x26:
			key, value := list.text(), list.text()
			switch string(key) {
			case "traceparent":
				p.traceparent = value
			case "tracestate":
				p.tracestate = value
			}
		default:
			list.bad = true
		}
	}
	a.bad = a.bad || list.bad
	return p
}

// reasons are the names of reason codes that are errors (section 2.4).
var reasons = map[byte]string{
	0x80: "unspecified_error", 0x81: "malformed_packet", 0x82: "protocol_error",
	0x83: "implementation_specific_error", 0x84: "unsupported_protocol_version",
	0x85: "client_identifier_not_valid", 0x86: "bad_user_name_or_password", 0x87: "not_authorized",
	0x88: "server_unavailable", 0x89: "server_busy", 0x8a: "banned", 0x8b: "server_shutting_down",
	0x8c: "bad_authentication_method", 0x8d: "keep_alive_timeout", 0x8e: "session_taken_over",
	0x8f: "topic_filter_invalid", 0x90: "topic_name_invalid", 0x91: "packet_identifier_in_use",
	0x92: "packet_identifier_not_found", 0x93: "receive_maximum_exceeded", 0x94: "topic_alias_invalid",
	0x95: "packet_too_large", 0x96: "message_rate_too_high", 0x97: "quota_exceeded",
	0x98: "administrative_action", 0x99: "payload_format_invalid", 0x9a: "retain_not_supported",
	0x9b: "qos_not_supported", 0x9c: "use_another_server", 0x9d: "server_moved",
	0x9e: "shared_subscriptions_not_supported", 0x9f: "connection_rate_exceeded",
	0xa0: "maximum_connect_time", 0xa1: "subscription_identifiers_not_supported",
	0xa2: "wildcard_subscriptions_not_supported",
}

// reason is error.type for a reason code, "" if it is none of an error.
func reason(code byte) string {
	if code < 0x80 {
		return ""
	}
	if name, ok := reasons[code]; ok {
		return name
	}
	return "_OTHER"
}

// returnCode is error.type for a return code of CONNACK in 3.1.1 (section 3.2.2.3 there).
func returnCode(code byte) string {
	switch code {
	case 0:
		return ""
	case 1:
		return reasons[0x84]
	case 2:
		return reasons[0x85]
	case 3:
		return reasons[0x88]
	case 4:
		return reasons[0x86]
	case 5:
		return reasons[0x87]
	}
	return reason(code | 0x80)
}

// isTopic checks a topic's name: UTF-8 without NUL and wildcards (section 4.7).
func isTopic(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c == 0x7f || c == '#' || c == '+' {
			return false
		}
	}
	return utf8.Valid(b)
}
