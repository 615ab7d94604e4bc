// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"bytes"
	"encoding/binary"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// detect accepts a startup packet (of any kind) at the beginning of a connection; and
// of connections that are older, a turn that is a chain of messages from its first byte
// to its last.
func detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	open := false
	for _, req := range [2]protocol.Direction{protocol.Sent, protocol.Received} {
		if e.Role == exchange.RoleClient && req != protocol.Sent || e.Role == exchange.RoleServer && req != protocol.Received {
			continue
		}
		requests, responses := e.Bytes[req], e.Bytes[req.Other()]
		if !e.MidStream {
			// The server says nothing before it is asked.
			switch v := startup(requests); {
			case v == protocol.Accepted:
				return v, req
			case v == protocol.Undecided && len(responses) == 0:
				open = true
			case v == protocol.Undecided && e.Role == exchange.RoleClient && len(requests) == 0:
				// A send is reported when the call returns; the response may have
				// been read before.
				open = len(responses) < 512 && bytes.IndexByte([]byte("NSGRE"), responses[0]) >= 0
			}
			continue
		}
		if chain(requests, &requestTypes) || chain(responses, &responseTypes) {
			return protocol.Accepted, req
		}
		open = true
	}
	if open {
		return protocol.Undecided, 0
	}
	return protocol.Rejected, 0
}

// startup judges what may be the beginning of a startup packet.
func startup(b []byte) protocol.Verdict {
	var h [8]byte
	n := copy(h[:], b)
	if n == 0 {
		return protocol.Undecided
	}
	length, code := binary.BigEndian.Uint32(h[:]), binary.BigEndian.Uint32(h[4:])
	if h[0] != 0 || h[1] != 0 || n >= 4 && (length < 8 || length > maxStartup) {
		return protocol.Rejected
	}
	if n < 8 {
		// 04 d2 16 or 00 03.
		if n > 4 && h[4] != 0 && h[4] != 4 || n > 5 && h[5] != majorNumber && h[5] != 0xd2 {
			return protocol.Rejected
		}
		return protocol.Undecided
	}
	switch {
	case (code == codeSSL || code == codeGSSENC) && length == 8:
		return protocol.Accepted
	case code == codeCancel && length >= 16 && length <= 268:
		return protocol.Accepted
	case code>>16 != majorNumber || code&0xffff > 9999:
		return protocol.Rejected
	}
	body := b[8:]
	if len(body) > int(length)-8 {
		return protocol.Rejected // nothing is sent behind it unasked
	}
	if len(body) == int(length)-8 {
		user := false
		if startupParameters(body, func(name, _ []byte) { user = user || string(name) == "user" }) && user {
			return protocol.Accepted
		}
		return protocol.Rejected
	}
	// The name of the first parameter.
	for _, c := range body {
		if c == 0 {
			break
		}
		if (c < 'a' || c > 'z') && c != '_' && c != '.' && (c < 'A' || c > 'Z') {
			return protocol.Rejected
		}
	}
	return protocol.Undecided
}

// chain reports whether b is messages of one side from its first byte to its last, and
// enough of them that it cannot be anything else.
func chain(b []byte, types *[256]bool) bool {
	evidence := 0
	for first := true; len(b) > 0; first = false {
		if len(b) < headSize {
			return false
		}
		typ, length, ok := head(b, types)
		if !ok {
			return false
		}
		if uint64(len(b)-1) < length {
			// A long message that is not all there: its beginning may tell.
			return first && types == &requestTypes && typ == 'Q' && length > 1<<12 && len(b) > 1<<10 && plausible(b[headSize:])
		}
		body := b[headSize : length+1]
		if types == &requestTypes {
			evidence += requestEvidence(typ, body)
		} else {
			evidence += responseEvidence(typ, body)
		}
		if evidence < 0 {
			return false
		}
		b = b[length+1:]
	}
	return evidence >= 4
}

// notThis is more than all evidence for it.
const notThis = -1 << 20

// requestEvidence is what a message speaks for the protocol; 4 is enough.
func requestEvidence(typ byte, body []byte) int {
	switch typ {
	case 'Q':
		if n := len(body) - 1; body[n] != 0 || !plausible(body[:n]) {
			return notThis
		}
		return 4
	case 'P':
		_, rest, ok := text(body)
		var q []byte
		if ok {
			q, rest, ok = text(rest)
		}
		if !ok || len(rest) < 2 || len(rest) != 2+4*int(binary.BigEndian.Uint16(rest)) || !plausible(q) {
			return notThis
		}
		return 3
	case 'B':
		_, rest, ok := text(body)
		if ok {
			_, rest, ok = text(rest)
		}
		if !ok || len(rest) < 6 {
			return notThis
		}
		return 2
	case 'E':
		if _, rest, ok := text(body); !ok || len(rest) != 4 {
			return notThis
		}
		return 2
	case 'D', 'C':
		if _, rest, ok := text(body[1:]); body[0] != 'S' && body[0] != 'P' || !ok || len(rest) != 0 {
			return notThis
		}
		return 2
	case 'S', 'H':
		return 2
	}
	return 0
}

// plausible reports whether b, perhaps cut, can be the text of one: no control characters.
func plausible(b []byte) bool {
	for _, c := range b[:min(len(b), 256)] {
		if c < ' ' && c != '\n' && c != '\t' && c != '\r' && c != '\f' && c != '\v' || c == 0x7f {
			return false
		}
	}
	return true
}

func responseEvidence(typ byte, body []byte) int {
	switch typ {
	case 'Z':
		if !status(body[0]) {
			return notThis
		}
		return 2
	case 'C':
		if n := bytes.IndexByte(body, 0); n != len(body)-1 || n < 2 || body[0] < 'A' || body[0] > 'Z' {
			return notThis
		}
		return 2
	case 'E', 'N':
		if !sqlState(field(body, 'C')) {
			return notThis
		}
		return 3
	case 'S':
		_, rest, ok := text(body)
		if ok {
			_, rest, ok = text(rest)
		}
		if !ok || len(rest) != 0 {
			return notThis
		}
	case 'T', 'D', 't':
		if len(body) < 2 {
			return notThis
		}
		return 1
	case '1', '2', '3', 'n', 's', 'I':
		return 1
	}
	return 0
}
