// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"encoding/binary"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

const (
	// leastRequest is the size of the shortest request: its head, without a client id.
	leastRequest = 10
	// maxRequest bounds the size of requests: brokers take 100 MiB
	// (socket.request.max.bytes) if they are not told otherwise.
	maxRequest = 256 << 20
	// maxClient bounds client ids.
	maxClient = 1 << 10
)

// requestHead is what stands before the client id.
type requestHead struct {
	size         uint32
	key, version int16
	id           int32
	client       int16 // the length of the client id, -1 for null
}

// parseHead parses 14 bytes.
func parseHead(b []byte) requestHead {
	return requestHead{
		size:    binary.BigEndian.Uint32(b),
		key:     int16(binary.BigEndian.Uint16(b[4:])),
		version: int16(binary.BigEndian.Uint16(b[6:])),
		id:      int32(binary.BigEndian.Uint32(b[8:])),
		client:  int16(binary.BigEndian.Uint16(b[12:])),
	}
}

// headless reports whether the request has a header without a client id (version 0).
func (h *requestHead) headless() bool { return h.key == apiControlledShutdown && h.version == 0 }

// valid reports whether it can be the head of a request.
func (h *requestHead) valid() bool {
	if h.size < leastRequest || h.size > maxRequest || !possible(h.key, h.version) {
		return false
	}
	if h.headless() {
		return h.size == 12
	}
	return h.client >= -1 && h.client <= maxClient && int(h.client)+leastRequest <= int(h.size)
}

// printable reports whether b may be a client id.
func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// detect judges the evidence: a request, and a response with its correlation id. Of
// connections that are older than we, one direction is seen at a time: there it has to be
// a request by a named client whose end is where the bytes end, or is not seen.
func detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	switch e.Role {
	case exchange.RoleClient:
		return detectIn(e, protocol.Sent), protocol.Sent
	case exchange.RoleServer:
		return detectIn(e, protocol.Received), protocol.Received
	}
	received, sent := detectIn(e, protocol.Received), detectIn(e, protocol.Sent)
	switch {
	case received == sent && sent == protocol.Accepted:
		return protocol.Undecided, protocol.Sent // small numbers in both
	case received == protocol.Accepted || sent == protocol.Rejected:
		return received, protocol.Received
	}
	return sent, protocol.Sent
}

// detectIn judges the evidence for requests that travel in direction req.
func detectIn(e *protocol.Evidence, req protocol.Direction) protocol.Verdict {
	requests, responses := e.Bytes[req], e.Bytes[req.Other()]
	refuse := protocol.Rejected
	if e.MidStream {
		refuse = protocol.Undecided
	}
	if len(requests) == 0 {
		if len(responses) > 0 && !e.MidStream {
			return protocol.Rejected // brokers do not speak first
		}
		return protocol.Undecided
	}
	if verdict := judge(requests); verdict != protocol.Accepted {
		if verdict == protocol.Rejected {
			return refuse
		}
		return verdict
	}
	h := parseHead(requests)
	if e.MidStream {
		if h.client > 0 && h.sound(requests) {
			return protocol.Accepted
		}
		return refuse
	}
	if len(responses) < 8 {
		if len(responses) >= 4 && !plausible(binary.BigEndian.Uint32(responses)) {
			return protocol.Rejected
		}
		return protocol.Undecided
	}
	if plausible(binary.BigEndian.Uint32(responses)) && answers(requests, int32(binary.BigEndian.Uint32(responses[4:]))) {
		return protocol.Accepted
	}
	return protocol.Rejected
}

func plausible(size uint32) bool { return size >= leastResponse && size <= maxResponse }

// judge looks at the first request.
func judge(b []byte) protocol.Verdict {
	if len(b) >= 4 {
		if size := binary.BigEndian.Uint32(b); size < leastRequest || size > maxRequest {
			return protocol.Rejected
		}
	} else if b[0] > maxRequest>>24 {
		return protocol.Rejected
	}
	if len(b) >= 8 && !possible(int16(binary.BigEndian.Uint16(b[4:])), int16(binary.BigEndian.Uint16(b[6:]))) {
		return protocol.Rejected
	}
	if len(b) < 14 {
		return protocol.Undecided
	}
	h := parseHead(b)
	if !h.valid() || h.headless() {
		return protocol.Rejected
	}
	client := b[14:min(len(b), 14+max(int(h.client), 0))]
	if !printable(client) {
		return protocol.Rejected
	}
	if len(client) < int(h.client) {
		return protocol.Undecided
	}
	if h.client <= 0 && !h.opens() {
		return protocol.Rejected
	}
	return protocol.Accepted
}

// opens reports whether clients without a name begin with such a request. Heads without a
// name have little in them that others could not have too.
func (h *requestHead) opens() bool {
	switch h.key {
	case apiVersions:
		return h.version > 0 || h.size == leastRequest
	case apiMetadata, apiSaslHandshake, apiFindCoordinator:
		return h.id > 0
	}
	return false
}

// sound reports whether the request, with a client id, ends where another one begins,
// where the bytes do, or behind them.
func (h *requestHead) sound(b []byte) bool {
	end := 4 + uint64(h.size)
	if h.id < 0 {
		return false
	}
	if uint64(len(b)) >= end+8 {
		return judge(b[end:]) != protocol.Rejected
	}
	return true
}

// answers reports whether one of the requests has the correlation id.
func answers(b []byte, id int32) bool {
	for len(b) >= 14 {
		h := parseHead(b)
		if !h.valid() {
			return false
		}
		if h.id == id {
			return true
		}
		end := 4 + uint64(h.size)
		if end >= uint64(len(b)) {
			return false
		}
		b = b[end:]
	}
	return false
}
