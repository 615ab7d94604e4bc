// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
)

const (
	// maxRepeat bounds the bytes kept to recognise a head by.
	maxRepeat = 1 << 10
	// maxStrikes: keeping a head is a strike, each repetition takes two back,
	// and a stream with so many is not watched any more.
	maxStrikes = 16
)

// repeat is the head a stream carried last, without the request line: what a
// client says of itself, or a server of its answers, is often the same from one
// message to the next, and comparing is several times cheaper than parsing.
// Heads with trace context, or that tell an application, are left out; they seldom
// repeat.
type repeat struct {
	// lines go up to and including the empty line; nil if none are kept.
	lines   []byte
	strikes uint8
	// What the lines mean.
	expect          bool
	coding          coding
	version         httpconv.Version
	status          uint16
	host, userAgent section
	length          int64
}

// section is a part of lines; to is 0 if there is none.
type section struct{ from, to uint16 }

// parse does what h.parseAny does.
func (r *repeat) parse(h *head, request bool, b []byte, cut bool) int {
	if !request {
		if r.begins(b) {
			h.status, h.version = int(r.status), r.version
			r.recall(h, b)
			return len(r.lines)
		}
		n := h.parseResponse(b, cut)
		if n > 0 {
			r.keep(h, b[:n])
		}
		return n
	}
	first, rest, ok := line(b)
	if !ok {
		return 0
	}
	if !h.requestLine(first) {
		return -1
	}
	start := len(b) - len(rest)
	if r.begins(rest) {
		r.recall(h, rest)
		return start + len(r.lines)
	}
	n := h.headers(b, start, inRequest, cut)
	if n > 0 {
		r.keep(h, b[start:n])
	}
	return n
}

// begins reports whether b begins with the lines.
func (r *repeat) begins(b []byte) bool { return len(r.lines) > 0 && bytes.HasPrefix(b, r.lines) }

// recall fills in what the lines say that b begins with.
func (r *repeat) recall(h *head, b []byte) {
	r.strikes -= min(r.strikes, 2)
	h.expect, h.coding, h.length = r.expect, r.coding, r.length
	if r.host.to > 0 {
		h.host = b[r.host.from:r.host.to]
	}
	if r.userAgent.to > 0 {
		h.userAgent = b[r.userAgent.from:r.userAgent.to]
	}
}

// keep remembers the lines that h was parsed from.
func (r *repeat) keep(h *head, lines []byte) {
	if h.cut || h.folded || h.parents > 0 || h.others != nil || h.telling || len(lines) > maxRepeat || r.strikes >= maxStrikes {
		return
	}
	if r.strikes++; r.strikes >= maxStrikes {
		r.lines = nil
		return
	}
	r.lines = append(r.lines[:0], lines...)
	r.expect, r.coding, r.length = h.expect, h.coding, h.length
	r.status, r.version = uint16(h.status), h.version
	r.host, r.userAgent = within(lines, h.host), within(lines, h.userAgent)
}

// within finds a part of lines that was cut out of them and so ends where their
// memory does.
func within(lines, part []byte) section {
	if part == nil {
		return section{}
	}
	from := cap(lines) - cap(part)
	return section{from: uint16(from), to: uint16(from + len(part))}
}
