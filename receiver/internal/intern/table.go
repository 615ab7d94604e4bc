// SPDX-License-Identifier: Apache-2.0

package intern

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"unicode/utf8"
)

const (
	// DefaultSlots is the size of a table made by New(0): 64 KiB of string
	// headers, and at most DefaultSlots*MaxLength = 1 MiB of text.
	DefaultSlots = 4096
	// MaxLength is the longest string kept, in bytes. Longer ones are copied
	// every time: they are rarely equal to one seen before.
	MaxLength = 256
)

// Table is a direct-mapped cache of strings: each string has one slot, and the
// last one that hashed there stays. Memory is bounded by construction; nothing
// is ever searched or aged. It belongs to one goroutine. A nil Table works and
// remembers nothing.
type Table struct {
	seed  maphash.Seed
	slots []string
	mask  uint64
}

// New makes a table of at least the given number of slots (rounded up to a
// power of two; DefaultSlots if slots is not positive).
func New(slots int) *Table {
	if slots <= 0 {
		slots = DefaultSlots
	}
	n := 1 << bits.Len(uint(slots-1))
	return &Table{seed: maphash.MakeSeed(), slots: make([]string, n), mask: uint64(n - 1)}
}

// String is b as a string, with bytes that are not UTF-8 replaced by U+FFFD.
// It does not allocate when the string is in the table.
func (t *Table) String(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if t == nil || len(b) > MaxLength {
		return valid(b)
	}
	slot := &t.slots[maphash.Bytes(t.seed, b)&t.mask]
	if *slot == string(b) {
		return *slot
	}
	if !utf8.Valid(b) {
		// Not kept: a slot is only ever equal to its own bytes, which is
		// what makes a hit need no check.
		return string(bytes.ToValidUTF8(b, []byte("\uFFFD")))
	}
	s := string(b)
	*slot = s
	return s
}

func valid(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string(bytes.ToValidUTF8(b, []byte("\uFFFD")))
}
