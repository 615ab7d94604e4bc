// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// detect judges the evidence. A connection begins with OPTIONS or STARTUP. In the middle of
// one a turn begins with a frame or an envelope: either has to be unmistakable, or both
// directions have to agree.
func detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return protocol.DetectByRole(e, detectIn)
}

func detectIn(e *protocol.Evidence, req protocol.Direction) protocol.Verdict {
	in, out := e.Bytes[req], e.Bytes[req.Other()]
	requests, asked := begins(in, true)
	responses, answered := begins(out, false)
	if requests == protocol.Rejected && len(in) > 0 || responses == protocol.Rejected && len(out) > 0 {
		return protocol.Rejected
	}
	if !e.MidStream {
		switch {
		case len(in) == 0 && len(out) > 0:
			return protocol.Rejected // a server waits for the first request
		case len(in) > 4 && in[4] != opOptions && in[4] != opStartup:
			return protocol.Rejected
		}
		return requests
	}
	if requests == protocol.Accepted && asked || responses == protocol.Accepted && answered || requests == protocol.Accepted && responses == protocol.Accepted {
		return protocol.Accepted
	}
	return protocol.Undecided
}

// begins judges the beginning of a direction: Accepted is a frame that is plausible, strong
// one that nothing else looks like. No bytes leave it open.
func begins(b []byte, request bool) (v protocol.Verdict, strong bool) {
	if len(b) == 0 {
		return protocol.Undecided, false
	}
	for _, size := range [...]int{plainHead, packedHead} {
		e, ok := parseEnvelope(b, size)
		if !ok || !e.whole {
			continue
		}
		if e.original > 0 {
			return protocol.Accepted, false
		}
		if v, _ := begin(b[size:], request, e.length); v != protocol.Rejected {
			return v, v == protocol.Accepted
		}
	}
	return begin(b, request, -1)
}

// begin judges the beginning of a frame; within is how long what holds it is, -1 if
// nothing does.
func begin(b []byte, request bool, within int) (v protocol.Verdict, strong bool) {
	if len(b) < headSize {
		if len(b) == 0 {
			return protocol.Undecided, false
		}
		if c := b[0] &^ response; c < 3 || c > 5 || (b[0]&response == 0) != request || len(b) > 1 && b[1]&^0x1f != 0 {
			return protocol.Rejected, false
		}
		if len(b) > 2 && request && b[2]&0x80 != 0 {
			return protocol.Rejected, false
		}
		if len(b) > 4 && b[4] > opAuthSuccess {
			return protocol.Rejected, false
		}
		return protocol.Undecided, false
	}
	h := parseHeader(b)
	if !h.valid(request) || within >= 0 && headSize+h.length > within {
		return protocol.Rejected, false
	}
	body := b[headSize:]
	whole := len(body) >= h.length
	if whole {
		body = body[:h.length]
	}
	if h.flags&flagCompressed != 0 && h.op != opStartup {
		return protocol.Accepted, false
	}
	r := reader{b: body}
	r.prologue(&h)
	if r.bad {
		return open(whole)
	}
	switch h.op {
	case opOptions, opReady:
		if h.length != 0 {
			return protocol.Rejected, false
		}
		return protocol.Accepted, false
	case opStartup:
		return startsUp(body, whole), true
	case opQuery, opPrepare:
		return queries(&h, r, whole)
	case opExecute:
		id := r.string()
		if r.bad {
			return open(whole)
		}
		if len(id) == 0 || len(id) > maxID {
			return protocol.Rejected, false
		}
		return asks(&h, r, whole, len(id) == 16 && whole)
	case opBatch:
		kind, n, prepared := r.byte(), r.short(), r.byte()
		if r.bad {
			return open(whole)
		}
		if kind > 2 || n == 0 || prepared > 1 {
			return protocol.Rejected, false
		}
		if prepared == 1 {
			return protocol.Accepted, r.short() == 16 && whole
		}
		text, _ := r.long()
		return protocol.Accepted, isStatement(text)
	case opResult:
		kind := r.int()
		if r.bad {
			return open(whole)
		}
		if kind < resultVoid || kind > resultSchema || kind == resultVoid && h.flags == 0 && h.length != 4 {
			return protocol.Rejected, false
		}
		return protocol.Accepted, true
	case opError:
		code := r.int()
		if r.bad {
			return open(whole)
		}
		if code < 0 || code > 0x2500 {
			return protocol.Rejected, false
		}
		return protocol.Accepted, false
	}
	return protocol.Accepted, false
}

// open is the verdict on what ends too early.
func open(whole bool) (protocol.Verdict, bool) {
	if whole {
		return protocol.Rejected, false
	}
	return protocol.Undecided, false
}

// startsUp judges the body of STARTUP: CQL_VERSION is among its options.
func startsUp(b []byte, whole bool) protocol.Verdict {
	r := reader{b: b}
	if n := r.short(); r.bad || n == 0 || n > 64 {
		if len(b) < 2 && !whole {
			return protocol.Undecided
		}
		return protocol.Rejected
	}
	if bytes.Contains(b, []byte("CQL_VERSION")) {
		return protocol.Accepted
	}
	if whole {
		return protocol.Rejected
	}
	return protocol.Undecided
}

// queries judges the body of QUERY or PREPARE.
func queries(h *header, r reader, whole bool) (protocol.Verdict, bool) {
	size := reader{b: r.b}
	if n := size.int(); size.bad {
		return open(whole)
	} else if n <= 0 || n > h.length-4 {
		return protocol.Rejected, false
	}
	text, short := r.long()
	if short {
		return protocol.Accepted, isStatement(text)
	}
	if h.op == opPrepare {
		return protocol.Accepted, isStatement(text)
	}
	return asks(h, r, whole, isStatement(text))
}

// asks judges what is behind a query or an id.
func asks(h *header, r reader, whole, strong bool) (protocol.Verdict, bool) {
	if h.op == opExecute && h.v() >= 5 {
		r.string()
	}
	consistency := r.short()
	if r.bad {
		return open(whole)
	}
	if consistency >= len(consistencies) {
		return protocol.Rejected, false
	}
	return protocol.Accepted, strong
}

// isStatement reports whether a text begins with a word of CQL.
func isStatement(text []byte) bool {
	text = bytes.TrimLeft(text, " \t\r\n")
	for _, word := range [...]string{"SELECT", "INSERT", "UPDATE", "DELETE", "BEGIN", "USE", "CREATE", "ALTER", "DROP", "TRUNCATE", "GRANT", "REVOKE", "LIST"} {
		if len(text) > len(word) && bytes.EqualFold(text[:len(word)], []byte(word)) {
			return text[len(word)] <= ' '
		}
	}
	return false
}
