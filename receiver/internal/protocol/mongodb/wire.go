// SPDX-License-Identifier: Apache-2.0

package mongodb

import "encoding/binary"

// Op codes. The older ones are not responded to, but for those named.
const (
	opReply       = 1
	opUpdate      = 2001
	opInsert      = 2002
	opQuery       = 2004 // OP_REPLY
	opGetMore     = 2005 // OP_REPLY
	opDelete      = 2006
	opKillCursors = 2007
	opCompressed  = 2012
	opMsg         = 2013
)

// Flags of OP_MSG.
const (
	flagChecksum   = 1 << 0
	flagMoreToCome = 1 << 1
	flagExhaust    = 1 << 16
)

const (
	headSize = 16
	// maxMessage is the largest message servers take (maxMessageSizeBytes), with some
	// room.
	maxMessage = 48000000 + 64<<10
)

// header of a message.
type header struct {
	length       int
	id, response int32
	op           int32
}

func parseHeader(b []byte) header {
	return header{
		length: int(int32(binary.LittleEndian.Uint32(b))), id: int32(binary.LittleEndian.Uint32(b[4:])),
		response: int32(binary.LittleEndian.Uint32(b[8:])), op: int32(binary.LittleEndian.Uint32(b[12:])),
	}
}

// valid reports whether there can be such a header.
func (h *header) valid(request bool) bool {
	if h.length < headSize+4 || h.length > maxMessage {
		return false
	}
	switch h.op {
	case opMsg:
		return h.length >= headSize+4+1+5 && (!request || h.response == 0)
	case opCompressed:
		return h.length >= headSize+9 && (!request || h.response == 0)
	case opReply:
		return !request && h.length >= headSize+20
	case opQuery, opGetMore, opUpdate, opInsert, opDelete, opKillCursors:
		return request
	}
	return false
}

// compressedHead is that of OP_COMPRESSED behind the header.
type compressedHead struct {
	op         int32
	size       int
	compressor byte
}

func parseCompressed(b []byte) (c compressedHead, ok bool) {
	if len(b) < 9 {
		return c, false
	}
	c.op, c.size, c.compressor = int32(binary.LittleEndian.Uint32(b)), int(int32(binary.LittleEndian.Uint32(b[4:]))), b[8]
	return c, c.size >= 0 && c.size <= maxMessage && c.compressor <= 3
}

// message is what is to be known of a body: that of OP_MSG, OP_QUERY or OP_REPLY.
type message struct {
	flags uint32
	// document is the command, or the response; it may be cut.
	document []byte
	// sequence is the name of a sequence of documents beside it, of which there are
	// documents; -1 if that is not known. None if the name is nil.
	sequence  []byte
	documents int64
	// database of OP_QUERY.
	database []byte
}

// parseBody reads the body of a message, which may be cut; false if it cannot be one.
func parseBody(op int32, b []byte) (m message, ok bool) {
	switch op {
	case opMsg:
		return parseMsg(b)
	case opQuery:
		// Flags, "database.collection", two numbers, the query.
		if len(b) < 5 {
			return m, false
		}
		b = b[4:]
		for i, c := range b {
			if c == '.' && m.database == nil {
				m.database = b[:i]
			}
			if c == 0 {
				if m.database == nil || len(b) < i+9 {
					return m, false
				}
				m.document = b[i+9:]
				return m, true
			}
		}
		return m, false
	case opReply:
		if len(b) < 20 {
			return m, false
		}
		m.document = b[20:]
		return m, true
	}
	return m, false
}

func parseMsg(b []byte) (m message, ok bool) {
	if len(b) < 5 {
		return m, false
	}
	m.flags = binary.LittleEndian.Uint32(b)
	if m.flags&^(flagChecksum|flagMoreToCome|flagExhaust) != 0 {
		return m, false
	}
	b = b[4:]
	for len(b) >= 5 {
		kind := b[0]
		n := int(int32(binary.LittleEndian.Uint32(b[1:])))
		if n < 5 || kind > 1 {
			break // the checksum
		}
		section := b[1:min(1+n, len(b))]
		if kind == 0 {
			if m.document != nil {
				return m, false
			}
			m.document = section
		} else {
			m.sequence, m.documents = sequence(section, n)
		}
		b = b[min(1+n, len(b)):]
	}
	return m, m.document != nil
}

// sequence reads a section of kind 1, n bytes long: its name and how many documents
// there are.
func sequence(b []byte, n int) (name []byte, documents int64) {
	for i := 4; i < len(b); i++ {
		if b[i] != 0 {
			continue
		}
		name = b[4:i]
		if n > len(b) {
			return name, -1
		}
		for b = b[i+1:]; len(b) > 0; documents++ {
			if len(b) < 5 {
				return name, -1
			}
			size := int(int32(binary.LittleEndian.Uint32(b)))
			if size < 5 || size > len(b) {
				return name, -1
			}
			b = b[size:]
		}
		return name, documents
	}
	return nil, -1
}
