// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"bytes"
	"compress/zlib"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// zHeadSize is that of a compressed packet's header: length, sequence id, length
	// of what was compressed, 0 if nothing was (MySQL: "Compressed Packet").
	zHeadSize = 7
	// maxInflate is how much of a compressed packet is read and of its content kept.
	maxInflate = 64 << 10
)

// inflater makes of compressed packets the segments they would have been. It is used
// only on connections that compress, so it may allocate.
type inflater struct {
	raw  stream.Stream
	zstd bool
	// offset of the content that is next, in the stream of the content.
	offset uint64
	// rest of the content of the packet at hand, which passes unseen with raw.
	rest int
	// turn: the content that was returned last begins one.
	turn   bool
	zlib   io.ReadCloser
	source bytes.Reader
	out    []byte
	inner  protocol.Segment
}

type inflateStatus uint8

const (
	inflateReady inflateStatus = iota
	inflateMore
	inflateLost
)

// compress switches both directions over, behind the end of the login.
func (p *parser) compress() {
	method := p.capabilities&clientCompress == 0
	for _, d := range [...]*side{&p.req, &p.resp} {
		d.z = &inflater{zstd: method, offset: 0}
	}
	// Nothing of the requests may be left over.
	p.req.z.offset, p.resp.z.offset = p.req.t.Offset(), p.resp.t.Offset()
}

// reset forgets the packet at hand; the content goes on somewhere.
func (z *inflater) reset() {
	z.raw.Clear()
	z.rest = 0
}

// next returns the next run of content, as a segment that is valid until the next
// call.
func (z *inflater) next(s *protocol.Segment, role exchange.Role) (*protocol.Segment, inflateStatus) {
	if z.raw.Ahead() > 0 {
		return nil, inflateMore
	}
	z.inner = protocol.Segment{Dir: s.Dir, First: s.First, Time: s.Time, PID: s.PID, TID: s.TID, Identity: s.Identity, Measured: s.Measured, Offset: z.offset}
	in := &z.inner
	if z.rest > 0 {
		// The end of a packet of which only the beginning was read.
		in.Len, z.rest, z.turn = z.rest, 0, false
		z.offset += uint64(in.Len)
		return in, inflateReady
	}
	head, status := z.raw.Peek(zHeadSize)
	if status == stream.More {
		return nil, inflateMore
	}
	if status == stream.Hole {
		return nil, inflateLost
	}
	packed, size := length(head), length(head[4:])
	body, status := z.raw.Peek(zHeadSize + min(packed, maxInflate))
	if status == stream.More {
		return nil, inflateMore
	}
	if status == stream.Hole {
		body = z.raw.Available()
	}
	origin := z.raw.Begin(role)
	in.First, in.PID, in.TID, in.Identity = origin.First, origin.PID, origin.TID, origin.Identity
	in.Measured.QueueTime = origin.Measured.QueueTime
	z.turn = origin.Turn
	body = body[min(zHeadSize, len(body)):]
	if size == 0 {
		in.Data = body
		size = packed
	} else {
		in.Data = z.inflate(body, min(size, maxInflate))
	}
	z.out = append(z.out[:0], in.Data...) // Discard makes body invalid
	in.Data = z.out
	in.Len = len(in.Data)
	z.raw.Discard(uint64(zHeadSize + packed))
	z.rest = max(size-in.Len, 0)
	if z.raw.Ahead() == 0 {
		in.Len, z.rest = size, 0
	}
	z.offset += uint64(in.Len)
	return in, inflateReady
}

// decoder of zstd; it is safe for concurrent use and keeps no state.
var decoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(16<<20), zstd.WithDecoderLowmem(true))

// inflate returns up to limit bytes of content, fewer if body was cut.
func (z *inflater) inflate(body []byte, limit int) []byte {
	if z.zstd {
		if b, err := decoder.DecodeAll(body, z.out[:0]); err == nil {
			z.out = b
			return b[:min(len(b), limit)]
		}
		return nil
	}
	z.source.Reset(body)
	if z.zlib == nil {
		r, err := zlib.NewReader(&z.source)
		if err != nil {
			return nil
		}
		z.zlib = r
	} else if err := z.zlib.(zlib.Resetter).Reset(&z.source, nil); err != nil {
		return nil
	}
	if cap(z.out) < limit {
		z.out = make([]byte, limit)
	}
	n, _ := io.ReadFull(z.zlib, z.out[:limit])
	return z.out[:n]
}

// compressedCommand reports whether bytes begin with a compressed packet that can be
// the first one of a command.
func compressedCommand(b []byte) bool {
	if len(b) < zHeadSize || b[3] != 0 {
		return false
	}
	packed, size := length(b), length(b[4:])
	if size == 0 {
		return packed >= headSize+1 && command(b[zHeadSize:])
	}
	return packed > 0 && (zHeadSize+packed == len(b) || len(b) >= 512)
}
