// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"unicode/utf8"
)

// Kinds of BSON elements (https://bsonspec.org/spec.html).
const (
	kindDouble   = 0x01
	kindString   = 0x02
	kindDocument = 0x03
	kindArray    = 0x04
	kindBinary   = 0x05
	kindObjectID = 0x07
	kindBool     = 0x08
	kindDate     = 0x09
	kindNull     = 0x0a
	kindInt32    = 0x10
	kindInt64    = 0x12
)

// element of a document. Of one that was cut, value is what there is of it.
type element struct {
	kind        byte
	name, value []byte
}

// elements walks through a document, which may be cut.
type elements struct {
	rest []byte
	// cut: the document's end was not reached, or it is no document.
	cut bool
}

// open begins to walk; b begins with a document.
func open(b []byte) elements {
	if len(b) < 5 {
		return elements{cut: true}
	}
	n := int(int32(binary.LittleEndian.Uint32(b)))
	if n < 5 {
		return elements{cut: true}
	}
	return elements{rest: b[4:min(n, len(b))], cut: n > len(b)}
}

// next is the next element; whole says that all of it is there. At the end kind is 0.
func (d *elements) next() (e element, whole bool) {
	if len(d.rest) == 0 || d.rest[0] == 0 {
		if len(d.rest) != 1 && !d.cut {
			d.cut = true
		}
		d.rest = nil
		return element{}, false
	}
	kind := d.rest[0]
	i := bytes.IndexByte(d.rest[1:], 0)
	if i < 0 {
		d.rest, d.cut = nil, true
		return element{}, false
	}
	e = element{kind: kind, name: d.rest[1 : 1+i]}
	value := d.rest[i+2:]
	n := size(kind, value)
	if n < 0 || n > len(value) {
		e.value = value
		d.rest, d.cut = nil, true
		return e, false
	}
	e.value, d.rest = value[:n], value[n:]
	return e, true
}

// size of a value, -1 if it cannot be told.
func size(kind byte, b []byte) int {
	sized := func(more int) int {
		if len(b) < 4 {
			return -1
		}
		n := int(int32(binary.LittleEndian.Uint32(b)))
		if n < 0 {
			return -1
		}
		return n + more
	}
	switch kind {
	case kindNull, 0x06, 0x7f, 0xff:
		return 0
	case kindBool:
		return 1
	case kindInt32:
		return 4
	case kindDouble, kindDate, 0x11, kindInt64:
		return 8
	case kindObjectID:
		return 12
	case 0x13: // decimal128
		return 16
	case kindString, 0x0d, 0x0e:
		return sized(4)
	case kindDocument, kindArray, 0x0f:
		if n := sized(0); n >= 5 {
			return n
		}
		return -1
	case kindBinary:
		return sized(5)
	case 0x0c: // DBPointer
		return sized(16)
	case 0x0b: // regular expression: two strings
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			return -1
		}
		j := bytes.IndexByte(b[i+1:], 0)
		if j < 0 {
			return -1
		}
		return i + j + 2
	}
	return -1
}

// text of a string element.
func (e *element) text() []byte {
	if e.kind != kindString || len(e.value) < 5 {
		return nil
	}
	return e.value[4 : len(e.value)-1]
}

// number of an element that is one.
func (e *element) number() (float64, bool) {
	switch e.kind {
	case kindDouble:
		return math.Float64frombits(binary.LittleEndian.Uint64(e.value)), true
	case kindInt32:
		return float64(int32(binary.LittleEndian.Uint32(e.value))), true
	case kindInt64:
		return float64(int64(binary.LittleEndian.Uint64(e.value))), true
	case kindBool:
		return float64(e.value[0]), true
	}
	return 0, false
}

// count is how many elements a document or array has, -1 if it was cut.
func count(b []byte) int64 {
	d := open(b)
	n := int64(0)
	for {
		e, whole := d.next()
		if e.kind == 0 {
			break
		}
		if whole {
			n++
		}
	}
	if d.cut {
		return -1
	}
	return n
}

// maxDepth is how deep documents are written.
const maxDepth = 16

// writer writes documents as JSON.
type writer struct {
	b   []byte
	max int
	// raw: values are written, not `?`.
	raw bool
	cut bool
}

func (w *writer) name(name []byte) {
	w.quoted(name)
	w.b = append(w.b, ": "...)
}

func (w *writer) quoted(s []byte) {
	w.b = append(w.b, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			w.b = append(w.b, '\\', c)
		case c == '\n':
			w.b = append(w.b, '\\', 'n')
		case c < ' ':
			w.b = append(w.b, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			w.b = append(w.b, c)
		}
	}
	w.b = append(w.b, '"')
}

// full reports whether no more fits.
func (w *writer) full() bool {
	if len(w.b) > w.max {
		w.b = w.b[:w.max]
		for len(w.b) > 0 && !utf8.Valid(w.b[max(0, len(w.b)-4):]) && w.b[len(w.b)-1] >= utf8.RuneSelf {
			w.b = w.b[:len(w.b)-1]
		}
		w.cut = true
	}
	return w.cut
}

// value writes one value.
func (w *writer) value(e element, depth int) {
	switch {
	case w.full():
	case (e.kind == kindDocument || e.kind == kindArray) && depth < maxDepth:
		w.nested(e, depth)
	case !w.raw:
		w.b = append(w.b, '?')
	default:
		w.scalar(e)
	}
}

// nested writes a document, or an array: one of nothing but scalars is [?].
func (w *writer) nested(e element, depth int) {
	array := e.kind == kindArray
	ends := "{}"
	if array {
		ends = "[]"
	}
	w.b = append(w.b, ends[0])
	d := open(e.value)
	scalars := false
	for i := 0; ; {
		child, whole := d.next()
		if child.kind == 0 || w.full() {
			break
		}
		scalar := child.kind != kindDocument && child.kind != kindArray
		if array && scalar && !w.raw {
			if scalars {
				continue
			}
			scalars = true
		}
		if i++; i > 1 {
			w.b = append(w.b, ", "...)
		}
		if !array {
			w.name(child.name)
		}
		if !whole && scalar {
			w.cut = true
			w.b = append(w.b, '?')
			break
		}
		w.value(child, depth+1)
	}
	if d.cut {
		w.cut = true
	}
	w.b = append(w.b, ends[1])
}

// scalar writes a value as it is, the rarer kinds by their names.
func (w *writer) scalar(e element) {
	switch e.kind {
	case kindString, 0x0d, 0x0e:
		if len(e.value) >= 5 {
			w.quoted(e.value[4 : len(e.value)-1])
		}
	case kindDouble:
		f, _ := e.number()
		w.b = strconv.AppendFloat(w.b, f, 'g', -1, 64)
	case kindInt32:
		w.b = strconv.AppendInt(w.b, int64(int32(binary.LittleEndian.Uint32(e.value))), 10)
	case kindInt64, kindDate:
		w.b = strconv.AppendInt(w.b, int64(binary.LittleEndian.Uint64(e.value)), 10)
	case kindBool:
		w.b = strconv.AppendBool(w.b, e.value[0] != 0)
	case kindObjectID:
		w.b = append(hex.AppendEncode(append(w.b, '"'), e.value), '"')
	case kindBinary:
		w.b = append(base64.StdEncoding.AppendEncode(append(w.b, '"'), e.value[min(5, len(e.value)):]), '"')
	case kindNull, 0x06:
		w.b = append(w.b, "null"...)
	default:
		w.b = append(w.b, '?')
	}
}
