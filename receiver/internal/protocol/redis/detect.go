// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// detect judges the evidence. An array of bulk strings of which the first is a name is
// unmistakable; an inline command is only with a reply to it.
func detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return protocol.DetectByRole(e, detectIn)
}

func detectIn(e *protocol.Evidence, requests protocol.Direction) protocol.Verdict {
	b, replies := e.Bytes[requests], e.Bytes[requests.Other()]
	if len(replies) > 0 && !isReply(replies) {
		return protocol.Rejected
	}
	if len(b) == 0 {
		if len(replies) > 0 && !e.MidStream {
			return protocol.Rejected // a server waits for commands
		}
		return protocol.Undecided
	}
	if b[0] == '*' {
		verdict, known := isCommand(b)
		if verdict == protocol.Accepted && e.Role == exchange.RoleUnknown && !known {
			return protocol.Undecided // it may be a reply as well
		}
		return verdict
	}
	end := bytes.IndexByte(b[:min(len(b), 1<<10)], '\n')
	name := b[:min(len(b), maxName)]
	if i := bytes.IndexAny(name, " \r\n"); i >= 0 {
		name = name[:i]
	} else if end < 0 {
		// The first word may go on.
		var to [2*maxName + 1]byte
		if len(b) > maxName || upper(&to, name) == nil {
			return protocol.Rejected
		}
		return protocol.Undecided
	}
	var to [2*maxName + 1]byte
	switch commands[string(upper(&to, name))] {
	case nil, cmdQuit, cmdAuth: // the latter two are POP3's as well
		return protocol.Rejected
	}
	if end < 0 || len(replies) == 0 {
		return protocol.Undecided
	}
	return protocol.Accepted
}

// isCommand judges an array that could be a command; known: it is one of Redis's own.
func isCommand(b []byte) (v protocol.Verdict, known bool) {
	n, used := header(b)
	if used == 0 {
		return protocol.Undecided, false
	}
	if used < 0 || n < 1 || n > 1<<20 {
		return protocol.Rejected, false
	}
	b = b[used:]
	if len(b) == 0 {
		return protocol.Undecided, false
	}
	if b[0] != '$' {
		return protocol.Rejected, false
	}
	n, used = header(b)
	if used == 0 {
		return protocol.Undecided, false
	}
	if used < 0 || n < 1 || n > maxName {
		return protocol.Rejected, false
	}
	b = b[used:]
	var to [2*maxName + 1]byte
	name := b[:min(len(b), int(n))]
	if len(name) > 0 && upper(&to, name) == nil {
		return protocol.Rejected, false
	}
	rest := b[len(name):]
	const end = "\r\n"
	if string(rest[:min(len(rest), 2)]) != end[:min(len(rest), 2)] {
		return protocol.Rejected, false
	}
	if len(rest) < 2 {
		return protocol.Undecided, false
	}
	return protocol.Accepted, commands[string(to[:n])] != nil
}

// isReply reports whether bytes can be the beginning of a reply.
func isReply(b []byte) bool {
	switch b[0] {
	case '+', '-':
		for _, c := range b[1:min(len(b), 16)] {
			if c == '\r' {
				break
			}
			if c < ' ' || c > '~' {
				return false
			}
		}
		return true
	case ',', '(':
		return len(b) == 1 || b[1]-'0' < 10 || b[1] == '-' || b[1]|0x20 == 'i' || b[1]|0x20 == 'n'
	case '#':
		return len(b) == 1 || b[1] == 't' || b[1] == 'f'
	case '_':
		return len(b) == 1 || b[1] == '\r'
	case ':':
		if len(b) > 1 && (b[1] == '-' || b[1] == '+') {
			return true
		}
		_, used := header(b)
		return used >= 0 || len(b) > 12
	case '$', '*', '=', '!', '~', '%', '|', '>':
		_, used := header(b)
		return used >= 0
	}
	return false
}
