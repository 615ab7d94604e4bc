// SPDX-License-Identifier: Apache-2.0

package fastcgi

// Sizes of records, FastCGI section 8.
const (
	headerSize = 8
	beginSize  = 8
	endSize    = 8
)

// Types of records.
const (
	typeBegin  = 1
	typeAbort  = 2
	typeEnd    = 3
	typeParams = 4
	typeStdin  = 5
	typeStdout = 6
	typeStderr = 7
	typeData   = 8
	typeLast   = 11
)

// record is the head of one.
type record struct {
	kind    byte
	id      uint16
	content int
	padding int
}

// parse reads the 8 bytes of a record's head. It is false if they are none.
func (r *record) parse(b []byte) bool {
	r.kind, r.id = b[1], uint16(b[2])<<8|uint16(b[3])
	r.content, r.padding = int(b[4])<<8|int(b[5]), int(b[6])
	return b[0] == 1 && r.kind >= 1 && r.kind <= typeLast
}

// size is the record's, with its head.
func (r *record) size() uint64 { return uint64(headerSize + r.content + r.padding) }

// parameter cuts the first name-value pair off, FastCGI section 3.4. It is false if
// there is no whole one.
func parameter(b []byte) (name, value, rest []byte, ok bool) {
	n, b, ok := length(b)
	if !ok {
		return nil, nil, nil, false
	}
	v, b, ok := length(b)
	if !ok || uint64(n)+uint64(v) > uint64(len(b)) {
		return nil, nil, nil, false
	}
	return b[:n], b[n : n+v], b[n+v:], true
}

func length(b []byte) (n uint32, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	if b[0] < 0x80 {
		return uint32(b[0]), b[1:], true
	}
	if len(b) < 4 {
		return 0, nil, false
	}
	return uint32(b[0]&0x7f)<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]), b[4:], true
}
