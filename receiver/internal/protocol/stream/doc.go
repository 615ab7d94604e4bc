// SPDX-License-Identifier: Apache-2.0

// Package stream lets a parser read one direction of a connection as bytes that
// follow each other, however calls cut them into segments, with the holes where
// bytes were not copied.
//
// A parser of a binary protocol loops like this, once per segment:
//
//	t.Feed(s)
//	for {
//		head, status := t.Peek(headSize)
//		if status != stream.Ready {
//			break // More: wait for a segment. Hole: boundaries may be lost.
//		}
//		...
//		t.Discard(size) // passes over holes, and into segments to come
//	}
//	t.Keep()
package stream
