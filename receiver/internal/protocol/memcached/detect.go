// SPDX-License-Identifier: Apache-2.0

package memcached

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// maxDetect is the longest line that is waited for while the protocol is not settled.
const maxDetect = 4 << 10

func detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return protocol.DetectByRole(e, detectIn)
}

func detectIn(e *protocol.Evidence, requests protocol.Direction) protocol.Verdict {
	b, replies := e.Bytes[requests], e.Bytes[requests.Other()]
	if len(b) == 0 {
		if len(replies) > 0 && !e.MidStream {
			return protocol.Rejected // a server waits for commands
		}
		return protocol.Undecided
	}
	if b[0] == magicRequest {
		if len(replies) > 0 && replies[0] != magicReply {
			return protocol.Rejected
		}
		if len(b) < headerSize {
			return protocol.Undecided
		}
		if h, ok := parseHeader(b, true); !ok || h.status != 0 {
			return protocol.Rejected
		}
		return protocol.Accepted
	}
	if len(replies) > 0 && !isReply(replies) {
		return protocol.Rejected
	}
	end := bytes.IndexByte(b[:min(len(b), maxDetect)], '\n')
	if end < 0 {
		if len(b) > maxDetect || !mayBegin(b) {
			return protocol.Rejected
		}
		return protocol.Undecided
	}
	var l line
	if !l.parse(b[:end]) {
		return protocol.Rejected
	}
	if l.command.shape == storage || len(replies) > 0 {
		return protocol.Accepted
	}
	// Of older connections only one turn is seen at a time.
	if e.MidStream && (l.keys > 0 || l.command.shape == other && l.words > 0) && end > 0 && b[end-1] == '\r' {
		return protocol.Accepted
	}
	return protocol.Undecided
}

// mayBegin reports whether bytes can be the beginning of a command's line.
func mayBegin(b []byte) bool {
	if i := bytes.IndexByte(b, ' '); i >= 0 {
		return commands[string(b[:i])] != nil
	}
	for name := range commands {
		if len(b) <= len(name)+1 && string(b[:min(len(b), len(name))]) == name[:min(len(b), len(name))] {
			return true
		}
	}
	return false
}

// isReply reports whether bytes begin like a reply.
func isReply(b []byte) bool {
	word := b[:min(len(b), 16)]
	if i := bytes.IndexAny(word, " \r\n"); i >= 0 {
		_, ok := answers[string(word[:i])]
		return ok || digits(word[:i])
	}
	for name := range answers {
		if len(word) <= len(name) && string(word) == name[:len(word)] {
			return true
		}
	}
	return digits(word)
}

func digits(b []byte) bool {
	for _, c := range b {
		if c-'0' >= 10 {
			return false
		}
	}
	return len(b) > 0
}
