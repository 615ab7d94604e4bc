// SPDX-License-Identifier: Apache-2.0

//go:build linux

package capture

import "unsafe"

// NewOpenRecord makes a record as the kernel would, for tests without one.
func NewOpenRecord(o Open) []byte {
	o.Kind = KindOpen
	b := make([]byte, openSize)
	*(*Open)(unsafe.Pointer(unsafe.SliceData(b))) = o
	return b
}

// NewSegmentRecord makes a record as the kernel would, and gives access to its
// header.
func NewSegmentRecord(s Segment, data []byte) ([]byte, *Segment) {
	s.Kind = KindSegment
	s.Captured = uint32(len(data))
	b := make([]byte, segmentSize+len(data))
	header := (*Segment)(unsafe.Pointer(unsafe.SliceData(b)))
	*header = s
	copy(b[segmentSize:], data)
	return b, header
}
