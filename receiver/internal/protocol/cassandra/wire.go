// SPDX-License-Identifier: Apache-2.0

package cassandra

import "encoding/binary"

// Opcodes (section 2.4).
const (
	opError         = 0x00
	opStartup       = 0x01
	opReady         = 0x02
	opAuthenticate  = 0x03
	opOptions       = 0x05
	opSupported     = 0x06
	opQuery         = 0x07
	opResult        = 0x08
	opPrepare       = 0x09
	opExecute       = 0x0a
	opRegister      = 0x0b
	opEvent         = 0x0c
	opBatch         = 0x0d
	opAuthChallenge = 0x0e
	opAuthResponse  = 0x0f
	opAuthSuccess   = 0x10
)

// Flags of a frame (section 2.2).
const (
	flagCompressed = 0x01
	flagTracing    = 0x02
	flagPayload    = 0x04
	flagWarning    = 0x08
	flagBeta       = 0x10
)

// Flags of query parameters (section 4.1.4).
const (
	queryValues   = 0x01
	queryPageSize = 0x04
	queryPaging   = 0x08
	querySerial   = 0x10
	queryTime     = 0x20
	queryNames    = 0x40
	queryKeyspace = 0x80
)

// Kinds of results (section 4.2.5).
const (
	resultVoid     = 1
	resultRows     = 2
	resultKeyspace = 3
	resultPrepared = 4
	resultSchema   = 5
)

// Flags of the metadata of rows (section 4.2.5.2).
const (
	rowsGlobal     = 0x01
	rowsMore       = 0x02
	rowsNoMetadata = 0x04
	rowsChanged    = 0x08
)

const (
	headSize = 9
	// maxFrame is the longest body of a frame (section 2.5).
	maxFrame = 256 << 20
	// response is the bit of the version that says so.
	response = 0x80
)

// header of a frame.
type header struct {
	version, flags, op byte
	stream             int16
	length             int
}

func parseHeader(b []byte) header {
	return header{
		version: b[0], flags: b[1], stream: int16(binary.BigEndian.Uint16(b[2:])), op: b[4],
		length: int(int32(binary.BigEndian.Uint32(b[5:]))),
	}
}

// valid reports whether there can be such a header.
func (h *header) valid(request bool) bool {
	v := h.version &^ response
	if v < 3 || v > 5 || (h.version&response == 0) != request || h.flags&^0x1f != 0 || h.length < 0 || h.length > maxFrame {
		return false
	}
	if request {
		if h.stream < 0 || h.flags&flagWarning != 0 {
			return false
		}
		switch h.op {
		case opOptions:
			return true
		case opStartup, opRegister:
			return h.length >= 2
		case opQuery, opAuthResponse, opPrepare, opExecute, opBatch:
			return h.length >= 4
		}
		return false
	}
	switch h.op {
	case opReady, opSupported:
		return true
	case opAuthenticate, opEvent:
		return h.length >= 2 && (h.op == opEvent) == (h.stream < 0)
	case opError, opResult, opAuthChallenge, opAuthSuccess:
		return h.length >= 4
	}
	return false
}

// v is the version without the direction.
func (h *header) v() byte { return h.version &^ response }

// reader reads the notations of chapter 3. What is not there makes it bad, and zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) short() int {
	if b := r.take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int() int {
	if b := r.take(4); b != nil {
		return int(int32(binary.BigEndian.Uint32(b)))
	}
	return 0
}

func (r *reader) string() []byte { return r.take(r.short()) }

// bytes is [bytes] and [value]: a negative length stands for none.
func (r *reader) bytes() {
	if n := r.int(); n > 0 {
		r.take(n)
	}
}

// long is [long string], of which the end may be cut off; short says so.
func (r *reader) long() (b []byte, short bool) {
	n := r.int()
	if r.bad || n < 0 {
		r.bad, r.b = true, nil
		return nil, true
	}
	if n > len(r.b) {
		b = r.b
		r.bad, r.b = true, nil
		return b, true
	}
	return r.take(n), false
}

// values passes over n values, with names or without.
func (r *reader) values(n int, names bool) {
	for ; n > 0 && !r.bad; n-- {
		if names {
			r.string()
		}
		r.bytes()
	}
}

// prologue passes over what can stand before a message (chapter 4).
func (r *reader) prologue(h *header) {
	if h.version&response != 0 {
		if h.flags&flagTracing != 0 {
			r.take(16)
		}
		if h.flags&flagWarning != 0 {
			for n := r.short(); n > 0 && !r.bad; n-- {
				r.string()
			}
		}
	}
	if h.flags&flagPayload != 0 {
		r.values(r.short(), true)
	}
}

// option passes over a type (section 4.2.5.2).
func (r *reader) option(depth int) {
	if depth > 16 {
		r.bad = true
	}
	if r.bad {
		return
	}
	switch r.short() {
	case 0x00: // custom
		r.string()
	case 0x20, 0x22: // list, set
		r.option(depth + 1)
	case 0x21: // map
		r.option(depth + 1)
		r.option(depth + 1)
	case 0x30: // UDT
		r.string()
		r.string()
		for n := r.short(); n > 0 && !r.bad; n-- {
			r.string()
			r.option(depth + 1)
		}
	case 0x31: // tuple
		for n := r.short(); n > 0 && !r.bad; n-- {
			r.option(depth + 1)
		}
	}
}

// rows reads how many there are in a result, -1 if that was not copied.
func (r *reader) rows() int64 {
	flags, columns := r.int(), r.int()
	if flags&rowsMore != 0 {
		r.bytes()
	}
	if flags&rowsChanged != 0 {
		r.string()
	}
	if flags&rowsNoMetadata == 0 {
		if flags&rowsGlobal != 0 {
			r.string()
			r.string()
		}
		for ; columns > 0 && !r.bad; columns-- {
			if flags&rowsGlobal == 0 {
				r.string()
				r.string()
			}
			r.string()
			r.option(0)
		}
	}
	n := r.int()
	if r.bad || n < 0 {
		return -1
	}
	return int64(n)
}

// parameters are those of a query (section 4.1.4).
type parameters struct {
	// consistency is -1 if it is not known, pageSize 0 if there is none.
	consistency, pageSize int
	keyspace              []byte
}

// parameters reads those, as far as they were copied.
func (r *reader) parameters(version byte) (q parameters) {
	q.consistency = r.short()
	if r.bad {
		q.consistency = -1
		return q
	}
	flags := r.flags(version)
	if flags&queryValues != 0 {
		r.values(r.short(), flags&queryNames != 0)
	}
	if flags&queryPageSize != 0 {
		q.pageSize = r.int()
	}
	if flags&queryPaging != 0 {
		r.bytes()
	}
	r.keyspace(&q, flags, version)
	return q
}

// keyspace reads the end of parameters.
func (r *reader) keyspace(q *parameters, flags int, version byte) {
	if flags&querySerial != 0 {
		r.short()
	}
	if flags&queryTime != 0 {
		r.take(8)
	}
	if flags&queryKeyspace != 0 && version >= 5 {
		q.keyspace = r.string()
	}
}

func (r *reader) flags(version byte) int {
	if version >= 5 {
		return r.int()
	}
	return int(r.byte())
}
