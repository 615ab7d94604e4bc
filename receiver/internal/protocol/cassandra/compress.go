// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"encoding/binary"

	"github.com/klauspost/compress/s2"
)

// algorithm is how bodies are compressed (section 4.1.1, COMPRESSION).
type algorithm uint8

const (
	unknownAlgorithm algorithm = iota
	algorithmLZ4
	algorithmSnappy
)

// maxUnpacked bounds what is undone of a frame.
const maxUnpacked = 64 << 10

// unpacker undoes compression. What it returns is valid until the next call.
type unpacker struct{ out []byte }

// body returns the original body of a frame, of which b may be the beginning only: then it
// is that of the body, or nil.
func (u *unpacker) body(b []byte, whole bool, a algorithm) []byte {
	switch a {
	case algorithmLZ4:
		if len(b) < 4 {
			return nil
		}
		size := int(int32(binary.BigEndian.Uint32(b)))
		if size < 0 {
			return nil
		}
		return u.lz4(b[4:], min(size, maxUnpacked))
	case algorithmSnappy:
		if size, err := s2.DecodedLen(b); !whole || err != nil || size > maxUnpacked {
			return nil
		}
		out, err := s2.Decode(u.room(maxUnpacked), b)
		if err != nil {
			return nil
		}
		return out
	}
	return nil
}

func (u *unpacker) room(n int) []byte {
	if cap(u.out) < n {
		u.out = make([]byte, max(n, maxUnpacked))
	}
	return u.out[:n]
}

// lz4 undoes a block, up to size bytes; the block may be cut. Nil is one that cannot be.
func (u *unpacker) lz4(b []byte, size int) []byte {
	out := u.room(size)
	n := 0
	for len(b) > 0 && n < size {
		token := b[0]
		b = b[1:]
		literals := int(token >> 4)
		if literals == 15 {
			literals, b = extended(b, literals)
		}
		copied := copy(out[n:], b[:min(literals, len(b))])
		n += copied
		b = b[copied:]
		if copied < literals || len(b) < 2 {
			break
		}
		back := int(binary.LittleEndian.Uint16(b))
		b = b[2:]
		if back == 0 || back > n {
			return nil
		}
		length := int(token & 15)
		if length == 15 {
			length, b = extended(b, length)
		}
		length = min(length+4, size-n)
		for ; length > 0; length-- { // it may overlap itself
			out[n] = out[n-back]
			n++
		}
	}
	return out[:n]
}

// extended reads the bytes that follow a length of 15.
func extended(b []byte, n int) (int, []byte) {
	for len(b) > 0 {
		c := b[0]
		b = b[1:]
		n += int(c)
		if c != 255 {
			break
		}
	}
	return n, b
}
