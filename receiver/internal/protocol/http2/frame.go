// SPDX-License-Identifier: Apache-2.0

package http2

// frameHead is how long the head of a frame is (RFC 9113 section 4.1).
const frameHead = 9

// Frame types (RFC 9113 section 6).
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	framePriority     = 0x2
	frameReset        = 0x3
	frameSettings     = 0x4
	framePush         = 0x5
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindowUpdate = 0x8
	frameContinuation = 0x9
)

// Frame flags.
const (
	flagEndStream  = 0x1 // DATA, HEADERS
	flagAck        = 0x1 // SETTINGS, PING
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// knownFlags are the flags that each type has; others are ignored, and nobody sets
// them.
var knownFlags = [...]uint8{
	frameData: flagEndStream | flagPadded, frameHeaders: flagEndStream | flagEndHeaders | flagPadded | flagPriority,
	frameSettings: flagAck, framePush: flagEndHeaders | flagPadded, framePing: flagAck, frameContinuation: flagEndHeaders,
}

// maxFrame is the longest frame there can be, ordinaryFrame the longest one where
// nobody has asked for longer ones (RFC 9113 section 4.2), in bytes.
const (
	maxFrame      = 1<<24 - 1
	ordinaryFrame = 16 << 10
)

// frame is the head of a frame.
type frame struct {
	length uint32
	stream uint32
	kind   uint8
	flags  uint8
}

// parseFrame reads a head; b has at least frameHead bytes. The reserved bit has to be
// zero: it is ignored by those who receive it, but nobody sets it.
func parseFrame(b []byte) (f frame, ok bool) {
	_ = b[frameHead-1]
	f = frame{
		length: uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]),
		kind:   b[3], flags: b[4],
		stream: uint32(b[5])<<24 | uint32(b[6])<<16 | uint32(b[7])<<8 | uint32(b[8]),
	}
	return f, f.valid()
}

// valid reports whether there can be such a frame: RFC 9113 section 6, apart from
// what depends on the state of its stream.
func (f *frame) valid() bool {
	if f.stream >= 1<<31 {
		return false
	}
	switch f.kind {
	case frameData, frameHeaders, frameContinuation:
		return f.stream != 0 && (f.flags&flagPadded == 0 || f.kind == frameContinuation || f.length > 0)
	case framePriority:
		return f.stream != 0 && f.length == 5
	case frameReset:
		return f.stream != 0 && f.length == 4
	case frameSettings:
		return f.stream == 0 && f.length%6 == 0 && (f.flags&flagAck == 0 || f.length == 0)
	case framePush:
		return f.stream != 0 && f.length >= 4
	case framePing:
		return f.stream == 0 && f.length == 8
	case frameGoAway:
		return f.stream == 0 && f.length >= 8
	case frameWindowUpdate:
		return f.length == 4
	}
	return f.length <= ordinaryFrame // unknown types are ignored (section 5.5)
}

// usual reports whether it is a frame such as there are: what is demanded where a
// frame is looked for.
func (f *frame) usual() bool {
	if int(f.kind) >= len(knownFlags) || f.flags&^knownFlags[f.kind] != 0 {
		return false
	}
	switch f.kind {
	case frameData:
		return true // as long as they agreed on
	case frameSettings:
		return f.length <= 6*32
	case frameGoAway:
		return f.length <= 4<<10
	}
	return f.length <= ordinaryFrame
}

// fragment cuts the header block fragment out of the payload of a HEADERS,
// PUSH_PROMISE or CONTINUATION frame; nil, false if padding and the like do not fit.
func (f *frame) fragment(b []byte) ([]byte, bool) {
	padding := 0
	if f.kind != frameContinuation && f.flags&flagPadded != 0 {
		if len(b) == 0 {
			return nil, false
		}
		padding = int(b[0])
		b = b[1:]
	}
	fixed := 0
	switch {
	case f.kind == frameHeaders && f.flags&flagPriority != 0:
		fixed = 5
	case f.kind == framePush:
		fixed = 4 // the promised stream
	}
	if fixed+padding > len(b) {
		return nil, false
	}
	return b[fixed : len(b)-padding], true
}

// Error codes (RFC 9113 section 7).
const (
	codeRefusedStream = 0x7
	codeCancel        = 0x8
)

var codeNames = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
	"FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
	"INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

// codeName is the name of an error code.
func codeName(code uint32) string {
	if code < uint32(len(codeNames)) {
		return codeNames[code]
	}
	return "_OTHER"
}
