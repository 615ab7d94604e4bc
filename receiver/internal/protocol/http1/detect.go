// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

const (
	// maxDetectLine bounds a request line while its protocol is not settled.
	// RFC 9112 section 3 recommends to support at least 8000 octets.
	maxDetectLine = 8 << 10
	// maxDetectMidStream is how many bytes of an old connection are looked at
	// before giving up.
	maxDetectMidStream = 16 << 10
)

// detect judges the evidence. A complete request line where requests can
// travel decides; so does a status line in the opposite direction, which is
// what an older connection may show first.
func detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return protocol.DetectByRole(e, detectIn)
}

// detectIn judges the evidence for requests that travel in direction req.
func detectIn(e *protocol.Evidence, req protocol.Direction) protocol.Verdict {
	requests := skipEmptyLines(e.Bytes[req])
	responses := skipEmptyLines(e.Bytes[req.Other()])
	request := matchRequestLine(requests, maxDetectLine)
	if request == yes {
		return protocol.Accepted
	}
	response := matchStatusLine(responses)
	if response == yes && (request == maybe || e.MidStream) {
		return protocol.Accepted
	}
	if !e.MidStream {
		if request == no || response == no {
			return protocol.Rejected
		}
		return protocol.Undecided
	}
	if midStreamRequest(requests) || midStreamStatus(responses) {
		return protocol.Accepted
	}
	if tlsRecord(requests) && tlsRecord(responses) || len(requests)+len(responses) >= maxDetectMidStream {
		return protocol.Rejected
	}
	return protocol.Undecided
}

// midStreamRequest looks for a request line behind what is left of an older
// message. It is evidence only: the parser trusts the starts of segments.
func midStreamRequest(b []byte) bool {
	for len(b) > 0 {
		i := bytes.Index(b, []byte(" "+versionPrefix))
		if i < 0 {
			return false
		}
		rest := b[i+1:]
		if matchVersion(rest, true) == yes {
			// The target begins behind the last space; before it is a method
			// in capitals, as all registered ones are.
			space := bytes.LastIndexByte(b[:i], ' ')
			if space > 0 && space+1 < i && b[space-1]-'A' <= 'Z'-'A' {
				return true
			}
		}
		b = rest
	}
	return false
}

// midStreamStatus looks for a status line behind what is left of an older
// message.
func midStreamStatus(b []byte) bool {
	for len(b) > 0 {
		i := bytes.Index(b, []byte(versionPrefix))
		if i < 0 {
			return false
		}
		b = b[i:]
		if matchStatusLine(b) == yes {
			return true
		}
		b = b[1:]
	}
	return false
}

// tlsRecord recognises application data records (RFC 8446 section 5.1).
func tlsRecord(b []byte) bool {
	return len(b) >= 3 && b[0] == 0x17 && b[1] == 3 && b[2] <= 4
}
