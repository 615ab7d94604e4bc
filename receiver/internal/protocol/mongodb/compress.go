// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"bytes"
	"compress/zlib"
	"io"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Compressors of OP_COMPRESSED.
const (
	compressorNone = iota
	compressorSnappy
	compressorZlib
	compressorZstd
)

// decoder of zstd; DecodeAll is safe for concurrent use.
var decoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<20), zstd.WithDecoderLowmem(true))

// unpacker undoes OP_COMPRESSED. What it returns is valid until the next call.
type unpacker struct {
	out    []byte
	source bytes.Reader
	zlib   io.ReadCloser
}

// unpack returns the original op code and body, or no body where it cannot be had; b is
// what was copied of n bytes behind the header.
func (u *unpacker) unpack(b []byte, n int) (op int32, body []byte) {
	c, ok := parseCompressed(b)
	if !ok {
		return opCompressed, nil
	}
	whole := len(b) >= n
	b = b[9:]
	switch c.compressor {
	case compressorNone:
		return c.op, b
	case compressorSnappy:
		if size, err := s2.DecodedLen(b); !whole || err != nil || size > maxRead {
			return c.op, nil
		}
		if cap(u.out) < maxRead {
			u.out = make([]byte, maxRead)
		}
		out, err := s2.Decode(u.out[:maxRead], b)
		if err != nil {
			return c.op, nil
		}
		return c.op, out
	case compressorZlib:
		u.source.Reset(b)
		if u.zlib == nil {
			r, err := zlib.NewReader(&u.source)
			if err != nil {
				return c.op, nil
			}
			u.zlib = r
		} else if err := u.zlib.(zlib.Resetter).Reset(&u.source, nil); err != nil {
			return c.op, nil
		}
		if cap(u.out) < maxRead {
			u.out = make([]byte, maxRead)
		}
		size, _ := io.ReadFull(u.zlib, u.out[:min(c.size, maxRead)])
		return c.op, u.out[:size]
	case compressorZstd:
		if !whole || c.size > maxRead {
			return c.op, nil
		}
		out, err := decoder.DecodeAll(b, u.out[:0])
		if err != nil {
			return c.op, nil
		}
		u.out = out
		return c.op, out
	}
	return c.op, nil
}
