// SPDX-License-Identifier: Apache-2.0

package amqp

import (
	"bytes"
	"encoding/binary"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// greeting is the protocol header that a client begins with (chapter 4.2.2).
const greeting = "AMQP\x00\x00\x09\x01"

func detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	undecided := e.MidStream || len(e.Bytes[0])+len(e.Bytes[1]) == 0
	for dir, b := range e.Bytes {
		d := protocol.Direction(dir)
		client := e.Role == exchange.RoleUnknown || d == protocol.RequestsOf(e.Role)
		switch {
		case len(b) == 0:
		case client && bytes.HasPrefix(b, []byte(greeting)):
			return protocol.Accepted, d
		case client && len(b) < len(greeting) && greeting[:len(b)] == string(b):
			undecided = true
		case !client && len(e.Bytes[d.Other()]) == 0 && plausible(b):
			// The answer, when it was read before the call that sent the header returned.
			undecided = true
		}
		if e.MidStream && e.Role != exchange.RoleUnknown && unmistakable(b) {
			return protocol.Accepted, protocol.RequestsOf(e.Role)
		}
	}
	if undecided {
		return protocol.Undecided, 0
	}
	return protocol.Rejected, 0
}

// unmistakable recognises what stands at the beginning of a turn of an old connection: a
// heartbeat, or a method of which all bytes are there.
func unmistakable(b []byte) bool {
	return whole(b) && (b[0] == frameHeartbeat || b[0] == frameMethod)
}

// whole recognises a frame that has its end in b, where one is to be found.
func whole(b []byte) bool {
	if !plausible(b) {
		return false
	}
	size := uint64(binary.BigEndian.Uint32(b[3:]))
	return uint64(len(b)) > headSize+size && b[headSize+size] == frameEnd
}

// plausible checks the head of a frame, and the beginning of its payload as far as it is
// there.
func plausible(b []byte) bool {
	if len(b) < headSize {
		return false
	}
	channel, size := binary.BigEndian.Uint16(b[1:]), binary.BigEndian.Uint32(b[3:])
	payload := b[headSize:]
	switch b[0] {
	case frameMethod:
		return size >= 4 && size <= maxFrame && (len(payload) < 4 || known(method(binary.BigEndian.Uint32(payload))))
	case frameHeader:
		return channel != 0 && size >= 14 && size <= maxFrame && (len(payload) < 4 || binary.BigEndian.Uint32(payload) == 60<<16)
	case frameBody:
		return channel != 0 && size <= maxFrame
	case frameHeartbeat:
		return channel == 0 && size == 0
	}
	return false
}
