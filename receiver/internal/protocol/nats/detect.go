// SPDX-License-Identifier: Apache-2.0

package nats

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// detect judges the evidence. A server speaks first, and says INFO with its id; on older
// connections a message at the beginning of a turn has to be well-formed.
func detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	undecided := e.MidStream
	any := false
	for dir, b := range e.Bytes {
		if len(b) == 0 {
			continue
		}
		d := protocol.Direction(dir)
		any = true
		if e.Role == exchange.RoleUnknown || d != protocol.RequestsOf(e.Role) {
			switch info(b) {
			case protocol.Accepted:
				return protocol.Accepted, d.Other()
			case protocol.Undecided:
				undecided = true
			}
		}
		if e.MidStream && e.Role != exchange.RoleUnknown {
			if unmistakable(b, d == protocol.RequestsOf(e.Role)) {
				return protocol.Accepted, protocol.RequestsOf(e.Role)
			}
		}
	}
	if any && !undecided {
		return protocol.Rejected, 0
	}
	return protocol.Undecided, 0
}

// info recognises `INFO {"server_id":…`.
func info(b []byte) protocol.Verdict {
	const start = "INFO "
	if len(b) < len(start) {
		if start[:len(b)] == string(b) {
			return protocol.Undecided
		}
		return protocol.Rejected
	}
	rest := bytes.TrimLeft(b[len(start):], " \t")
	switch {
	case string(b[:len(start)]) != start:
		return protocol.Rejected
	case len(rest) == 0:
		return protocol.Undecided
	case rest[0] != '{':
		return protocol.Rejected
	case bytes.Contains(rest, []byte(`"server_id"`)):
		return protocol.Accepted
	case len(rest) < 4096 && !bytes.ContainsRune(rest, '\n'):
		return protocol.Undecided
	}
	return protocol.Rejected
}

// unmistakable recognises a message of an older connection: its line, and the end of its
// payload if that is there. Lines that have none may stand in front of it.
func unmistakable(b []byte, client bool) bool {
	for {
		end := bytes.IndexByte(b[:min(len(b), maxLine)], '\n')
		if end < 1 || b[end-1] != '\r' {
			return false
		}
		var l line
		if !l.parse(b[:end-1], client) {
			return false
		}
		rest := b[end+1:]
		switch l.op {
		case opPub, opHpub, opMsg, opHmsg:
			if uint64(len(rest)) < l.total+2 {
				// Only what is longer than what was copied.
				return len(rest) >= 512
			}
			return rest[l.total] == '\r' && rest[l.total+1] == '\n'
		case opPing, opPong, opOK, opSub, opUnsub:
			b = rest
		default:
			return false
		}
	}
}
