// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"bytes"
	"encoding/binary"
)

// Codes in the place of a version (chapter 55.7, SSLRequest and its neighbours).
const (
	codeCancel  = 80877102
	codeSSL     = 80877103
	codeGSSENC  = 80877104
	majorNumber = 3
)

const (
	// headSize is a message's type and length.
	headSize = 5
	// maxMessage is the longest message the server itself accepts, 1 GiB.
	maxMessage = 1 << 30
	// maxStartup is the longest startup packet the server accepts.
	maxStartup = 10000
)

// requestTypes and responseTypes are those of messages of frontend and backend.
var requestTypes, responseTypes = typeSet("QPBEDCHSFXdcfp"), typeSet("RKSZTDCIENA123ntsGHWdcVv")

func typeSet(types string) (set [256]bool) {
	for i := range len(types) {
		set[types[i]] = true
	}
	return set
}

// head takes the type and the length of what follows it, which includes the length's
// own 4 bytes; false if there is no such message.
func head(b []byte, types *[256]bool) (typ byte, length uint64, ok bool) {
	length = uint64(binary.BigEndian.Uint32(b[1:]))
	typ = b[0]
	return typ, length, types[typ] && length >= 4 && length <= maxMessage && shape(typ, length, types)
}

// shape checks the lengths of messages that have only one.
func shape(typ byte, length uint64, types *[256]bool) bool {
	if types == &requestTypes {
		switch typ {
		case 'S', 'H', 'X', 'c':
			return length == 4
		case 'E':
			return length >= 9
		case 'B':
			return length >= 12
		case 'P':
			return length >= 8
		case 'Q', 'f':
			return length >= 5
		case 'D', 'C':
			return length >= 6
		}
		return true
	}
	switch typ {
	case '1', '2', '3', 'n', 's', 'I', 'c':
		return length == 4
	case 'Z':
		return length == 5
	case 'D', 'T', 't', 'C', 'E', 'N', 'S':
		return length >= 5
	}
	return true
}

// text is the NUL-terminated string at the beginning of b, and what is behind it.
func text(b []byte) (s, rest []byte, ok bool) {
	n := bytes.IndexByte(b, 0)
	if n < 0 {
		return nil, nil, false
	}
	return b[:n], b[n+1:], true
}

// startupParameters calls f with the parameters of a startup message; false if there
// is no such message in b, which is what is behind the version.
func startupParameters(b []byte, f func(name, value []byte)) bool {
	for {
		name, rest, ok := text(b)
		if !ok {
			return false
		}
		if len(name) == 0 {
			return len(rest) == 0
		}
		value, rest, ok := text(rest)
		if !ok {
			return false
		}
		f(name, value)
		b = rest
	}
}

// field finds one of an ErrorResponse or NoticeResponse: a byte that says what it is,
// and a string.
func field(b []byte, code byte) []byte {
	for len(b) > 1 && b[0] != 0 {
		s, rest, ok := text(b[1:])
		if !ok {
			return nil
		}
		if b[0] == code {
			return s
		}
		b = rest
	}
	return nil
}

// sqlState reports whether b looks like one: five digits and capitals.
func sqlState(b []byte) bool {
	if len(b) != 5 {
		return false
	}
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// endsReady reports whether b ends with a ReadyForQuery, and endsSync with a Sync.
func endsReady(b []byte) bool {
	n := len(b) - 6
	return n >= 0 && b[n] == 'Z' && b[n+1] == 0 && b[n+2] == 0 && b[n+3] == 0 && b[n+4] == 5 && status(b[n+5])
}

func endsSync(b []byte) bool {
	n := len(b) - 5
	return n >= 0 && b[n] == 'S' && b[n+1] == 0 && b[n+2] == 0 && b[n+3] == 0 && b[n+4] == 4
}

// status: of a transaction, in ReadyForQuery.
func status(b byte) bool { return b == 'I' || b == 'T' || b == 'E' }
