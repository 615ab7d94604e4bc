// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// detect judges the evidence. The preface decides; on an older connection so do frames
// that follow each other, if there is a header section among them that decodes.
func detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return protocol.DetectByRole(e, detectIn)
}

// detectIn judges the evidence for requests that travel in direction req.
func detectIn(e *protocol.Evidence, req protocol.Direction) protocol.Verdict {
	requests, responses := e.Bytes[req], e.Bytes[req.Other()]
	if n := min(len(requests), len(preface)); n > 0 && string(requests[:n]) == preface[:n] {
		if n == len(preface) {
			return protocol.Accepted
		}
		return protocol.Undecided
	}
	if e.MidStream {
		if convincing(requests, true) || convincing(responses, false) {
			return protocol.Accepted
		}
		if plausible(requests) && plausible(responses) {
			return protocol.Undecided
		}
		return protocol.Rejected
	}
	if len(requests) > 0 || !settings(responses) {
		return protocol.Rejected
	}
	return protocol.Undecided
}

// settings reports whether b, as far as it goes, begins as a server does: with
// SETTINGS that have values they can have (RFC 9113 section 6.5.2).
func settings(b []byte) bool {
	if len(b) < frameHead {
		return len(b) < 1 || b[0] == 0 && (len(b) < 4 || b[3] == frameSettings)
	}
	f, ok := parseFrame(b)
	if !ok || f.kind != frameSettings || f.flags != 0 || !f.usual() {
		return false
	}
	b = b[frameHead:min(len(b), frameHead+int(f.length))]
	for ; len(b) >= 6; b = b[6:] {
		id, value := uint16(b[0])<<8|uint16(b[1]), be32(b[2:])
		switch id {
		case 2, 8: // ENABLE_PUSH, ENABLE_CONNECT_PROTOCOL
			if value > 1 {
				return false
			}
		case 4: // INITIAL_WINDOW_SIZE
			if value >= 1<<31 {
				return false
			}
		case 5: // MAX_FRAME_SIZE
			if value < ordinaryFrame || value > maxFrame {
				return false
			}
		}
	}
	return true
}

// plausible reports whether b begins with the head of a frame, as far as it goes.
func plausible(b []byte) bool {
	if len(b) < frameHead {
		return len(b) < 4 || b[3] <= frameContinuation
	}
	f, ok := parseFrame(b)
	return ok && f.usual()
}

// convincing reports whether b is frames, one after the other, with a HEADERS frame
// among them of which the header section decodes; or at least three, of which one has
// a length that is fixed.
func convincing(b []byte, request bool) bool {
	n, exact := chain(b, request)
	if n == 0 {
		return false
	}
	fixed := 0
	for i := 0; i < n; i++ {
		f, _ := parseFrame(b)
		payload := b[frameHead:min(len(b), frameHead+int(f.length))]
		switch f.kind {
		case frameHeaders:
			if f.flags&flagEndHeaders == 0 || len(payload) < int(f.length) {
				break
			}
			if fragment, ok := f.fragment(payload); ok && messageHead(fragment, request) {
				return true
			}
			return false
		case framePing, frameReset, frameWindowUpdate, framePriority:
			fixed++
		case frameSettings:
			if f.flags == 0 && f.length > 0 || exact {
				fixed++
			}
		}
		b = b[len(payload)+frameHead:]
	}
	return n >= 3 && fixed > 0 && exact
}

// messageHead reports whether b decodes as the header section of a message: one that
// begins with a pseudo-header field. Of an older connection only the static table is
// known; what else is named may be anything, and only says little.
func messageHead(b []byte, request bool) bool {
	var d decoder
	var h header
	d.forget()
	h.reset()
	if !d.decode(b, &h) || !h.pseudo {
		return false
	}
	if request {
		return h.fields >= 4 && h.status == 0 && (len(h.method) > 0 || len(h.path) > 0 || len(h.scheme) > 0)
	}
	return h.status >= 100 && len(h.method) == 0 && len(h.path) == 0
}
