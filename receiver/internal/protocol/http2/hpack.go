// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
)

const (
	// defaultTable is the size of the dynamic table nobody has changed (RFC 9113
	// section 6.5.2), in bytes as RFC 7541 section 4.1 counts them.
	defaultTable = 4096
	// maxTable bounds what is kept of larger tables.
	maxTable = 64 << 10
	// entryOverhead is what an entry counts beside its name and value.
	entryOverhead = 32
	// keepEntry is the largest memory of a value kept for the next one, in bytes.
	keepEntry = 256
)

// static is the static table (RFC 7541 appendix A), from index 1.
var static = [...]struct{ name, value string }{
	{}, {":authority", ""}, {":method", "GET"}, {":method", "POST"}, {":path", "/"}, {":path", "/index.html"},
	{":scheme", "http"}, {":scheme", "https"}, {":status", "200"}, {":status", "204"}, {":status", "206"},
	{":status", "304"}, {":status", "400"}, {":status", "404"}, {":status", "500"}, {"accept-charset", ""},
	{"accept-encoding", "gzip, deflate"}, {"accept-language", ""}, {"accept-ranges", ""}, {"accept", ""},
	{"access-control-allow-origin", ""}, {"age", ""}, {"allow", ""}, {"authorization", ""}, {"cache-control", ""},
	{"content-disposition", ""}, {"content-encoding", ""}, {"content-language", ""}, {"content-length", ""},
	{"content-location", ""}, {"content-range", ""}, {"content-type", ""}, {"cookie", ""}, {"date", ""}, {"etag", ""},
	{"expect", ""}, {"expires", ""}, {"from", ""}, {"host", ""}, {"if-match", ""}, {"if-modified-since", ""},
	{"if-none-match", ""}, {"if-range", ""}, {"if-unmodified-since", ""}, {"last-modified", ""}, {"link", ""},
	{"location", ""}, {"max-forwards", ""}, {"proxy-authenticate", ""}, {"proxy-authorization", ""}, {"range", ""},
	{"referer", ""}, {"refresh", ""}, {"retry-after", ""}, {"server", ""}, {"set-cookie", ""},
	{"strict-transport-security", ""}, {"transfer-encoding", ""}, {"user-agent", ""}, {"vary", ""}, {"via", ""},
	{"www-authenticate", ""},
}

// staticEntry is what set wants of an entry of the static table.
type staticEntry struct {
	name   name
	length int // of the name
	value  []byte
}

var staticEntries = func() (t [len(static)]staticEntry) {
	for i, e := range static {
		t[i] = staticEntry{nameOf([]byte(e.name)), len(e.name), []byte(e.value)}
	}
	return t
}()

// entry of the dynamic table. The value is kept only if somebody wants the field.
type entry struct {
	value []byte
	size  uint32
	name  name
	// length of the name; 0 if it is not known.
	length uint16
}

// decoder is the HPACK state of one direction (RFC 7541), as far as it is known.
//
// An index means the so-and-so-manieth latest insertion, so what was inserted since
// we came is known whatever was there before. Indices beyond that mean entries that
// nobody here has seen: fields they name are unknown. Which entries the size of the
// table has pushed out need not be known: an encoder does not name those. It matters
// only where everything there ever was is known (exact), because there such an index
// means that the bytes are not what they are taken for.
type decoder struct {
	ring  []entry // its length is a power of two
	next  int     // where the next entry goes
	n     int
	size  uint32
	limit uint32
	// sized: limit is the size that is in force, not just a bound.
	sized bool
	exact bool
	text  [2][]byte // memory of decoded strings: name, value
}

// begin: the connection begins here.
func (d *decoder) begin() {
	d.clear()
	d.limit, d.sized, d.exact = defaultTable, true, true
}

// forget: header sections may have passed unseen.
func (d *decoder) forget() {
	d.clear()
	d.limit, d.sized, d.exact = maxTable, false, false
}

func (d *decoder) clear() { d.n, d.size = 0, 0 }

// at is the i-th latest entry, from 0.
func (d *decoder) at(i int) *entry { return &d.ring[(d.next-1-i)&(len(d.ring)-1)] }

// resize takes a change of the table's size.
func (d *decoder) resize(limit uint32) {
	d.sized = limit <= maxTable
	if !d.sized {
		d.exact = false // what is kept is less than what there is
	}
	d.limit = min(limit, maxTable)
	d.evict(0)
}

func (d *decoder) evict(room uint32) {
	for d.n > 0 && d.size+room > d.limit {
		d.n--
		d.size -= d.at(d.n).size
	}
}

// insert adds an entry; length is that of its name, 0 if unknown.
func (d *decoder) insert(n name, length int, value []byte) {
	size := uint32(length + len(value) + entryOverhead)
	if n == nameUnknown {
		// How large it is, and so how long it and others stay, is not known. It is
		// not pushed out too early: that would only make known fields unknown.
		d.exact = false
	}
	if size > d.limit {
		// It empties the table and is not in it (RFC 7541 section 4.4). Where the
		// size of the table is not known it may be in it all the same: everything
		// up to here is unknown.
		d.clear()
		return
	}
	d.evict(size)
	if d.n == len(d.ring) {
		d.grow()
	}
	e := &d.ring[d.next]
	e.name, e.size, e.length = n, size, uint16(min(length, 1<<16-1))
	if cap(e.value) > keepEntry && len(value) <= keepEntry {
		e.value = nil
	}
	e.value = e.value[:0]
	if n != nameOther && n != nameUnknown && (n != nameAuthorization || bytes.HasPrefix(value, []byte(httpconv.SignatureV4))) {
		e.value = append(e.value, value...)
	}
	d.next = (d.next + 1) & (len(d.ring) - 1)
	d.n++
	d.size += size
}

func (d *decoder) grow() {
	grown := make([]entry, max(16, 2*len(d.ring)))
	for i := range d.n {
		grown[d.n-1-i] = *d.at(i)
	}
	d.ring, d.next = grown, d.n
}

// decode reads a whole header section into h, which was reset. It reports whether the
// bytes are one. Their effects on the table are in force even so.
func (d *decoder) decode(b []byte, h *header) bool {
	for len(b) > 0 {
		c := b[0]
		var ok bool
		switch {
		case c&0x80 != 0: // indexed (RFC 7541 section 6.1)
			var index uint32
			if index, b, ok = integer(b, 7); !ok || !d.indexed(index, h) {
				return false
			}
		case c&0xc0 == 0x40: // literal with incremental indexing (6.2.1)
			if b, ok = d.literal(b, 6, true, h); !ok {
				return false
			}
		case c&0xe0 == 0x20: // table size update (6.3): only at the beginning (4.2)
			var size uint32
			if size, b, ok = integer(b, 5); !ok || h.fields > 0 {
				return false
			}
			d.resize(size)
		default: // literal without indexing, or never indexed (6.2.2, 6.2.3)
			if b, ok = d.literal(b, 4, false, h); !ok {
				return false
			}
		}
	}
	return true
}

func (d *decoder) indexed(index uint32, h *header) bool {
	switch {
	case index == 0:
		return false
	case index < uint32(len(staticEntries)):
		e := &staticEntries[index]
		h.set(e.name, e.value)
	case index-uint32(len(staticEntries)) < uint32(d.n):
		e := d.at(int(index) - len(staticEntries))
		h.set(e.name, e.value)
	case d.exact || index > maxIndex:
		return false
	default:
		h.hide()
	}
	return true
}

// maxIndex is beyond what any table holds that is used.
const maxIndex = 1 << 16

func (d *decoder) literal(b []byte, prefix uint8, index bool, h *header) ([]byte, bool) {
	at, b, ok := integer(b, prefix)
	if !ok {
		return nil, false
	}
	n, length := nameUnknown, 0
	switch {
	case at == 0:
		var text []byte
		if text, b, ok = d.string(b, 0); !ok || !isName(text) {
			return nil, false
		}
		n, length = nameOf(text), len(text)
	case at < uint32(len(staticEntries)):
		n, length = staticEntries[at].name, staticEntries[at].length
	case at-uint32(len(staticEntries)) < uint32(d.n):
		e := d.at(int(at) - len(staticEntries))
		n, length = e.name, int(e.length)
	case d.exact || at > maxIndex:
		return nil, false
	}
	value, b, ok := d.string(b, 1)
	if !ok {
		return nil, false
	}
	h.set(n, value)
	if index {
		d.insert(n, length, value)
	}
	return b, true
}

// isName reports whether b can be the name of a field: visible ASCII without
// capitals (RFC 9113 section 8.2.1).
func isName(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return len(b) > 0
}

// string reads a string (RFC 7541 section 5.2), valid until the next of the same slot.
func (d *decoder) string(b []byte, slot int) (text, rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, nil, false
	}
	coded := b[0]&0x80 != 0
	n, b, ok := integer(b, 7)
	if !ok || uint64(n) > uint64(len(b)) {
		return nil, nil, false
	}
	text, rest = b[:n], b[n:]
	if coded {
		if text, ok = unhuffman(d.text[slot][:0], text); cap(text) <= 2*maxBlock {
			d.text[slot] = text
		}
	}
	return text, rest, ok
}

// integer reads an integer with a prefix of so many bits (RFC 7541 section 5.1), of at
// most 28 bits more.
func integer(b []byte, prefix uint8) (v uint32, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	most := uint32(1)<<prefix - 1
	v = uint32(b[0]) & most
	b = b[1:]
	if v < most {
		return v, b, true
	}
	for shift := 0; shift < 28 && len(b) > 0; shift += 7 {
		c := b[0]
		b = b[1:]
		v += uint32(c&0x7f) << shift
		if c&0x80 == 0 {
			return v, b, true
		}
	}
	return 0, nil, false
}
