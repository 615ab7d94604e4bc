// SPDX-License-Identifier: Apache-2.0

// Package inflight keeps the exchanges of a connection whose responses come in the
// order of their requests, and reuses their memory.
package inflight

// maxFree bounds what a queue keeps for reuse.
const maxFree = 256

// Queue is first in, first out. The zero value is ready to use. It is not safe for
// concurrent use.
type Queue[T any] struct {
	ring        []*T // its length is a power of two
	front, size int
	free        []*T
}

// Len is the number of entries.
func (q *Queue[T]) Len() int { return q.size }

// Push adds an entry at the end.
func (q *Queue[T]) Push(e *T) {
	if q.size == len(q.ring) {
		grown := make([]*T, max(2, 2*len(q.ring)))
		for i := range q.size {
			grown[i] = q.At(i)
		}
		q.ring, q.front = grown, 0
	}
	q.ring[(q.front+q.size)&(len(q.ring)-1)] = e
	q.size++
}

// At is the i-th entry from the front; i < Len.
func (q *Queue[T]) At(i int) *T { return q.ring[(q.front+i)&(len(q.ring)-1)] }

// Front is the oldest entry, nil if there is none.
func (q *Queue[T]) Front() *T {
	if q.size == 0 {
		return nil
	}
	return q.ring[q.front]
}

// Back is the newest entry, nil if there is none.
func (q *Queue[T]) Back() *T {
	if q.size == 0 {
		return nil
	}
	return q.At(q.size - 1)
}

// Pop takes the oldest entry out; Len > 0.
func (q *Queue[T]) Pop() *T {
	e := q.ring[q.front]
	q.ring[q.front] = nil
	q.front = (q.front + 1) & (len(q.ring) - 1)
	q.size--
	if q.size == 0 && len(q.ring) > maxFree {
		q.ring, q.front = nil, 0
	}
	return e
}

// Acquire returns one to use, as it was recycled, or nil if there is none.
func (q *Queue[T]) Acquire() *T {
	n := len(q.free)
	if n == 0 {
		return nil
	}
	e := q.free[n-1]
	q.free = q.free[:n-1]
	return e
}

// Recycle keeps one for Acquire.
func (q *Queue[T]) Recycle(e *T) {
	if len(q.free) < maxFree {
		q.free = append(q.free, e)
	}
}
