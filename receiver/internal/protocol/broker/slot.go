// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Slot is one exchange of a connection.
type Slot struct {
	X exchange.Exchange
	D messagingconv.Detail
	// EndDir is the direction of the bytes that end it.
	EndDir protocol.Direction
	// ID and Text are what it is found by; what they are is the parser's business.
	ID   uint64
	Text string
	// Flag is the parser's own.
	Flag bool
	// Receipt: nothing may ever end it, and then it was over when its own last byte had
	// moved, at Complete, and is called Name, of type Type.
	Receipt  bool
	Complete uint64
	Name     string
	Type     messagingconv.OperationType

	list       *List
	prev, next *Slot // in list, by age
	older      *Slot // among all of the connection
	newer      *Slot
	begun      bool
	generation uint32
}

// Ref refers to an exchange that may be over by the time it is looked for.
type Ref struct {
	slot       *Slot
	generation uint32
}

// Ref returns a reference.
func (s *Slot) Ref() Ref { return Ref{s, s.generation} }

// Get returns the exchange, nil if it is over or there is none.
func (r Ref) Get() *Slot {
	if r.slot == nil || r.slot.generation != r.generation {
		return nil
	}
	return r.slot
}

// List is some of the exchanges in flight, oldest first. The zero value is empty.
type List struct {
	front, back *Slot
	n           int
}

// Front is the oldest, nil if there is none.
func (l *List) Front() *Slot { return l.front }

// Len is how many there are.
func (l *List) Len() int { return l.n }

// Next is the next younger one of the same list.
func (s *Slot) Next() *Slot { return s.next }

// Find returns the oldest with an id.
func (l *List) Find(id uint64) *Slot {
	for s := l.front; s != nil; s = s.next {
		if s.ID == id {
			return s
		}
	}
	return nil
}

func (l *List) push(s *Slot) {
	s.list, s.prev, s.next = l, l.back, nil
	if l.back == nil {
		l.front = s
	} else {
		l.back.next = s
	}
	l.back = s
	l.n++
}

func (s *Slot) leave() {
	l := s.list
	if l == nil {
		return
	}
	if s.prev == nil {
		l.front = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		l.back = s.prev
	} else {
		s.next.prev = s.prev
	}
	l.n--
	s.list, s.prev, s.next = nil, nil, nil
}

// clear prepares it for reuse; the memory of its detail stays.
func (s *Slot) clear() {
	s.X = exchange.Exchange{Detail: &s.D}
	s.ID, s.Text, s.Flag = 0, "", false
	s.Receipt, s.Complete, s.Name, s.Type = false, 0, "", messagingconv.None
	s.begun = false
	s.generation++
}

// Waits reports whether an exchange was begun and waits for its end.
func (b *Base) Waits(s *Slot) bool { return s.list != nil }
