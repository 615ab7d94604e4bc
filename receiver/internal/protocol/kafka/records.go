// SPDX-License-Identifier: Apache-2.0

package kafka

import "encoding/binary"

// Sizes of what stands before the records of a batch, and of the head of an entry of a
// message set of format 0 and 1 (https://kafka.apache.org/documentation/#recordbatch).
const (
	batchHead = 61
	entryHead = 18
)

// Bits of a batch's attributes.
const (
	attributeCompression = 0x07
	attributeControl     = 0x20
)

// maxScanned is how many records of a partition are looked into for headers, if the
// first ones have none that matter.
const maxScanned = 16

// batch is the head of a record batch, or an entry of a message set.
type batch struct {
	// first and last are offsets, as the producer or the broker wrote them.
	first, last int64
	// count of records; -1 if it is not known.
	count int64
	// control batches are written by the broker: they hold no messages.
	control bool
}

type scan uint8

const (
	scanBatch scan = iota
	// Of a record: its head up to the key, the value, the number of headers, a header.
	scanRecord
	scanValue
	scanHeaders
	scanHeader
)

// records decodes a partition's records.
type records struct {
	active bool
	state  scan
	size   uint64
	// left is of the records, body of the batch, record of the record.
	left, body, record uint64
	headers            uint64 // still to come of the record
	scanned            int
	uncounted          bool
	more               bool // headers are wanted
}

func (r *records) begin(size uint64) {
	*r = records{active: true, size: size, left: size, more: true}
}

// run decodes what is there; done is the end of the records.
func (r *records) run(b []byte, on visitor) (n uint64, st status) {
	for n <= uint64(len(b)) {
		rest := b[n:]
		if r.left == 0 {
			r.end(on)
			return n, done
		}
		var size uint64
		ok := true
		switch r.state {
		case scanBatch:
			size, ok = r.batch(rest, on)
			if !ok {
				return n, short
			}
		default:
			if size, st = r.scan(rest, on); st == short {
				if uint64(len(rest)) < r.body {
					return n, short
				}
				st = invalid
			}
			if st == invalid {
				// Not what it seems, or enough: the batch's length is good.
				size = r.body
				r.state, r.more = scanBatch, false
			}
			if r.state == scanRecord {
				size += r.record // what is left of the one before
				r.record = 0
			}
			r.body -= min(size, r.body)
			if r.body == 0 {
				r.state = scanBatch
			}
		}
		n += size
		r.left -= min(size, r.left)
	}
	return n, short
}

func (r *records) end(on visitor) {
	r.active = false
	on.recordsEnd(r.size, r.uncounted)
}

// escape passes over bytes that were not copied: the rest of a batch, if it is in one.
func (r *records) escape(on visitor) uint64 {
	n := r.left
	if r.state != scanBatch {
		n = min(n, r.body)
		r.state, r.body = scanBatch, 0
	} else {
		r.uncounted = true
	}
	r.left -= n
	if r.left == 0 {
		r.end(on)
	}
	return n
}

// batch decodes the head of a batch; it returns how far to go on.
func (r *records) batch(b []byte, on visitor) (uint64, bool) {
	if r.left < entryHead {
		return r.left, true // fetches may end with a part of a batch
	}
	if len(b) < entryHead {
		return 0, false
	}
	total := 12 + uint64(binary.BigEndian.Uint32(b[8:]))
	if total > r.left {
		return r.left, true
	}
	v := batch{first: int64(binary.BigEndian.Uint64(b)), count: 1}
	v.last = v.first
	switch magic := b[16]; {
	case magic < 2 && total >= entryHead:
		if b[17]&attributeCompression != 0 {
			v.count = -1 // the entry is a set of others
		}
		on.batch(v)
		return total, true
	case magic > 2 || total < batchHead:
		r.uncounted = true
		return r.left, true
	}
	if len(b) < batchHead {
		return 0, false
	}
	attributes := binary.BigEndian.Uint16(b[21:])
	v.last += int64(int32(binary.BigEndian.Uint32(b[23:])))
	v.count = int64(int32(binary.BigEndian.Uint32(b[57:])))
	v.control = attributes&attributeControl != 0
	if v.count < 0 || v.count > int64(total) && attributes&attributeCompression == 0 {
		r.uncounted = true
		return r.left, true
	}
	on.batch(v)
	if v.control || attributes&attributeCompression != 0 || !r.more || total == batchHead {
		return total, true
	}
	r.state, r.body = scanRecord, total-batchHead
	return batchHead, true
}

// scan decodes a piece of a record; the pieces that are passed over may be longer than
// b.
func (r *records) scan(b []byte, on visitor) (uint64, status) {
	switch r.state {
	case scanRecord:
		return r.head(b)
	case scanValue:
		length, n := varint(b)
		if n <= 0 {
			return 0, lengthStatus(n)
		}
		r.state = scanHeaders
		return r.within(uint64(n) + uint64(max(length, 0)))
	case scanHeaders:
		count, n := varint(b)
		if n <= 0 {
			return 0, lengthStatus(n)
		}
		if count < 0 || uint64(count) > r.record {
			return 0, invalid
		}
		r.headers = uint64(count)
		r.next()
		return r.within(uint64(n))
	}
	return r.header(b, on)
}

// head decodes a record's length, attributes, time stamp, offset and the key's length.
func (r *records) head(b []byte) (uint64, status) {
	length, n := varint(b)
	if n <= 0 {
		return 0, lengthStatus(n)
	}
	if length < 5 || uint64(length) > r.body {
		return 0, invalid
	}
	if r.scanned++; r.scanned > maxScanned {
		return 0, invalid
	}
	at := n + 1 // attributes
	for range 2 {
		if at > len(b) {
			return 0, short
		}
		_, m := varint(b[at:])
		if m <= 0 {
			return 0, lengthStatus(m)
		}
		at += m
	}
	key, m := varint(b[at:])
	if m <= 0 {
		return 0, lengthStatus(m)
	}
	r.record = uint64(length) + uint64(n)
	r.state = scanValue
	return r.within(uint64(at+m) + uint64(max(key, 0)))
}

// within takes so many bytes of the record.
func (r *records) within(n uint64) (uint64, status) {
	if n > r.record {
		return 0, invalid
	}
	r.record -= n
	return n, done
}

// next is the state for the next header, or record.
func (r *records) next() {
	r.state = scanHeader
	if r.headers == 0 {
		r.state = scanRecord
	}
}

// header decodes one header.
func (r *records) header(b []byte, on visitor) (uint64, status) {
	length, n := varint(b)
	if n <= 0 {
		return 0, lengthStatus(n)
	}
	if length < 0 || uint64(length) > r.record {
		return 0, invalid
	}
	end := uint64(n) + uint64(length)
	if uint64(len(b)) <= end {
		return 0, short
	}
	key := b[n:end]
	length, m := varint(b[end:])
	if m <= 0 {
		return 0, lengthStatus(m)
	}
	value := end + uint64(m)
	end = value + uint64(max(length, 0))
	if end > r.record {
		return 0, invalid
	}
	if isContext(key) && length > 0 {
		if uint64(len(b)) < end {
			return 0, short
		}
		r.scanned = 0
		if !on.header(key, b[value:end]) {
			r.more = false
			return 0, invalid // to the next batch
		}
	}
	r.headers--
	r.next()
	return r.within(end)
}

// isContext reports whether a header carries a trace context.
func isContext(key []byte) bool { return string(key) == "traceparent" }

// varint decodes a zigzag varint of at most 64 bits; n is 0 if bytes are missing, -1 if it
// is longer.
func varint(b []byte) (v int64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return int64(b[0]>>1) ^ -int64(b[0]&1), 1
	}
	u, n := binary.Uvarint(b)
	if n < 0 {
		return 0, -1
	}
	return int64(u>>1) ^ -int64(u&1), n
}
