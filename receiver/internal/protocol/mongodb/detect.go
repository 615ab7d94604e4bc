// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"encoding/binary"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// detect judges the evidence. A header with an op code of MongoDB and a document behind
// it that begins as one are unmistakable.
func detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return protocol.DetectByRole(e, detectIn)
}

func detectIn(e *protocol.Evidence, req protocol.Direction) protocol.Verdict {
	requests := begins(e.Bytes[req], true)
	if requests == protocol.Accepted {
		return requests
	}
	responses := begins(e.Bytes[req.Other()], false)
	if e.MidStream {
		if responses == protocol.Accepted {
			return responses
		}
		return protocol.Undecided
	}
	if requests == protocol.Rejected || responses == protocol.Rejected || len(e.Bytes[req]) == 0 && len(e.Bytes[req.Other()]) > 0 {
		return protocol.Rejected // a server waits for the first command
	}
	return protocol.Undecided
}

// begins judges the beginning of a direction. No bytes leave it open.
func begins(b []byte, request bool) protocol.Verdict {
	if len(b) < headSize {
		if len(b) >= 4 {
			if n := int(int32(binary.LittleEndian.Uint32(b))); n < headSize+4 || n > maxMessage {
				return protocol.Rejected
			}
		}
		return protocol.Undecided
	}
	h := parseHeader(b)
	if !h.valid(request) || !request && h.response == 0 {
		return protocol.Rejected
	}
	b = b[headSize:]
	switch h.op {
	case opMsg:
		if len(b) < 4+1+4+1 {
			return prefix(b)
		}
		flags := binary.LittleEndian.Uint32(b)
		n := int(int32(binary.LittleEndian.Uint32(b[5:])))
		if flags&^(flagChecksum|flagMoreToCome|flagExhaust) != 0 || b[4] > 1 || n < 5 || n > h.length-headSize-5 {
			return protocol.Rejected
		}
		if b[4] == 0 {
			return firstElement(b[9:])
		}
		return protocol.Accepted
	case opQuery:
		if len(b) < 8 {
			return protocol.Undecided
		}
		m, ok := parseBody(opQuery, b)
		if !ok {
			return protocol.Undecided
		}
		if len(m.document) < 5 {
			return protocol.Undecided
		}
		return firstElement(m.document[4:])
	case opReply:
		if len(b) < 25 {
			return protocol.Undecided
		}
		return firstElement(b[24:])
	case opCompressed:
		if len(b) < 9 {
			return protocol.Undecided
		}
		if c, ok := parseCompressed(b); ok && (c.op == opMsg || c.op == opQuery || c.op == opReply) {
			return protocol.Accepted
		}
	}
	return protocol.Rejected
}

// prefix judges the beginning of OP_MSG's flags.
func prefix(b []byte) protocol.Verdict {
	if len(b) > 1 && b[0]&^3 != 0 || len(b) > 1 && b[1] != 0 || len(b) > 3 && b[3] != 0 {
		return protocol.Rejected
	}
	return protocol.Undecided
}

// firstElement judges the first element of a document: a name in letters.
func firstElement(b []byte) protocol.Verdict {
	if len(b) == 0 {
		return protocol.Undecided
	}
	if b[0] == 0 || b[0] > 0x13 {
		return protocol.Rejected
	}
	for i, c := range b[1:] {
		switch {
		case c == 0:
			if i == 0 {
				return protocol.Rejected
			}
			return protocol.Accepted
		case c == '$' || c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z':
		default:
			return protocol.Rejected
		}
		if i > 64 {
			return protocol.Rejected
		}
	}
	return protocol.Undecided
}
