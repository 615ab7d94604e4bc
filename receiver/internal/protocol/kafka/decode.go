// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"encoding/binary"
)

// status of decoding.
type status uint8

const (
	// short: the next bytes are missing.
	short status = iota
	// done: there is nothing more of interest in the message.
	done
	// invalid: these bytes are not what they should be.
	invalid
)

// visitor is told the values of a message in their order. The bytes are valid during the
// call only.
type visitor interface {
	// number, text and id are fields; text is nil for null.
	number(is meaning, v int64)
	text(is meaning, b []byte)
	id(is meaning, b []byte)
	// tag is a tagged field of a message that is wanted.
	tag(number uint64, b []byte)
	// batch is a record batch, entry that of the partition it belongs to.
	batch(b batch)
	// header is one of a record's; it reports whether more are wanted.
	header(key, value []byte) bool
	// recordsEnd is the end of a partition's records; uncounted, if not all batches
	// could be seen.
	recordsEnd(size uint64, uncounted bool)
}

// maxDepth is of arrays in arrays, and the message itself.
const maxDepth = 5

// frame is a struct being decoded.
type frame struct {
	fields []field
	at     int
	left   uint64 // elements of its array that are not finished
}

// decoder decodes a message as its bytes come. It keeps nothing of them.
type decoder struct {
	on       visitor
	flexible bool
	stack    [maxDepth]frame
	depth    int    // number of frames in use
	tags     uint64 // tagged fields still to come
	inTags   bool
	records  records
}

// reset begins a message.
func (d *decoder) reset(l layout) {
	d.flexible = l.flexible
	d.depth = 1
	d.stack[0] = frame{fields: l.fields, left: 1}
	d.inTags = false
	d.records.active = false
}

// run decodes what is there of a message, of which remaining bytes are left, those of b
// first. It returns how many of them have been dealt with: if that is more than b has,
// the rest is to be passed over.
func (d *decoder) run(b []byte, remaining uint64) (n uint64, st status) {
	for n <= uint64(len(b)) {
		rest := b[n:]
		if d.records.active {
			size, st := d.records.run(rest, d.on)
			n += size
			if st != done {
				return n, st
			}
			continue
		}
		top := &d.stack[d.depth-1]
		if top.at == len(top.fields) {
			top.at = 0
			if top.left--; top.left > 0 {
				continue
			}
			if d.depth--; d.depth == 0 {
				return n, done
			}
			continue
		}
		size, st := d.field(&top.fields[top.at], top, rest, remaining-n)
		if st != done {
			return n, st
		}
		if size > remaining-n {
			return n, invalid
		}
		n += size
	}
	return n, short
}

// escape is how many bytes lead from a place of which the bytes are missing to one from
// which decoding can go on; ok is false if there is none.
func (d *decoder) escape() (n uint64, ok bool) {
	if !d.records.active {
		return 0, false
	}
	return d.records.escape(d.on), true
}

// field decodes one; it returns its size. done stands for success.
func (d *decoder) field(f *field, top *frame, b []byte, remaining uint64) (uint64, status) {
	switch f.kind {
	case kindInt8:
		return d.fixed(f, top, b, 1)
	case kindInt16:
		return d.fixed(f, top, b, 2)
	case kindInt32:
		return d.fixed(f, top, b, 4)
	case kindInt64:
		return d.fixed(f, top, b, 8)
	case kindUUID:
		if f.is != none {
			if len(b) < 16 {
				return 0, short
			}
			d.on.id(f.is, b[:16])
		}
		top.at++
		return 16, done
	case kindTags:
		return d.tagged(f, top, b)
	}
	length, null, n := d.length(f.kind, b)
	if n <= 0 {
		return 0, lengthStatus(n)
	}
	size := uint64(n)
	switch f.kind {
	case kindString, kindBytes:
		if length > remaining {
			return 0, invalid
		}
		if f.is != none {
			if length > maxText {
				return 0, invalid
			}
			if uint64(len(b)) < size+length {
				return 0, short
			}
			if null {
				d.on.text(f.is, nil)
			} else {
				d.on.text(f.is, b[n:size+length])
			}
		}
		top.at++
		return size + length, done
	case kindInts:
		top.at++
		return size + 4*length, done
	case kindArray:
		if length > remaining || d.depth == maxDepth {
			return 0, invalid // an element has at least a byte
		}
		top.at++
		if length > 0 {
			d.stack[d.depth] = frame{fields: f.sub, left: length}
			d.depth++
		}
		return size, done
	default: // records
		if length > remaining {
			return 0, invalid
		}
		top.at++
		d.records.begin(length)
		return size, done
	}
}

// maxText bounds the texts of interest: topics have up to 249 bytes, ids of groups,
// clients and transactions seldom more.
const maxText = 4 << 10

// fixed decodes a big-endian integer of so many bytes.
func (d *decoder) fixed(f *field, top *frame, b []byte, size int) (uint64, status) {
	if f.is != none {
		if len(b) < size {
			return 0, short
		}
		var v int64
		switch size {
		case 1:
			v = int64(int8(b[0]))
		case 2:
			v = int64(int16(binary.BigEndian.Uint16(b)))
		case 4:
			v = int64(int32(binary.BigEndian.Uint32(b)))
		default:
			v = int64(binary.BigEndian.Uint64(b))
		}
		d.on.number(f.is, v)
	}
	top.at++
	return uint64(size), done
}

// length decodes what strings, arrays and records begin with: their length, whether they
// are null, and the size of that; 0 if bytes are missing, -1 if it is not one.
func (d *decoder) length(k kind, b []byte) (length uint64, null bool, n int) {
	if d.flexible {
		v, n := uvarint(b)
		if n <= 0 || v == 0 {
			return 0, true, n
		}
		return v - 1, false, n
	}
	var v int64
	if k == kindString {
		if n = 2; len(b) < n {
			return 0, false, 0
		}
		v = int64(int16(binary.BigEndian.Uint16(b)))
	} else {
		if n = 4; len(b) < n {
			return 0, false, 0
		}
		v = int64(int32(binary.BigEndian.Uint32(b)))
	}
	if v < -1 {
		return 0, false, -1
	}
	return uint64(max(v, 0)), v < 0, n
}

func lengthStatus(n int) status {
	if n == 0 {
		return short
	}
	return invalid
}

// uvarint decodes an unsigned varint of at most 32 bits (KIP-482); n is 0 if bytes are
// missing, -1 if it is longer.
func uvarint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	for i := range min(len(b), 5) {
		v |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			if v >= 1<<32 {
				return 0, -1
			}
			return v, i + 1
		}
	}
	if len(b) >= 5 {
		return 0, -1
	}
	return 0, 0
}

// tagged decodes the number of tagged fields, or one of them.
func (d *decoder) tagged(f *field, top *frame, b []byte) (uint64, status) {
	if !d.inTags {
		count, n := uvarint(b)
		if n <= 0 {
			return 0, lengthStatus(n)
		}
		d.tags, d.inTags = count, count > 0
		if count == 0 {
			top.at++
		}
		return uint64(n), done
	}
	number, n := uvarint(b)
	if n <= 0 {
		return 0, lengthStatus(n)
	}
	size, m := uvarint(b[n:])
	if m <= 0 {
		return 0, lengthStatus(m)
	}
	n += m
	if f.is != none && size <= maxText {
		if uint64(len(b)) < uint64(n)+size {
			return 0, short
		}
		d.on.tag(number, b[n:uint64(n)+size])
	}
	if d.tags--; d.tags == 0 {
		d.inTags = false
		top.at++
	}
	return uint64(n) + size, done
}
