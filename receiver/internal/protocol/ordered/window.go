// SPDX-License-Identifier: Apache-2.0

package ordered

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"

// Whole copies everything, but of calls of more than 64 KiB: boundaries can be anywhere.
// Heads is for connections that move large values one by one.
var (
	Whole = protocol.Window{Sent: 64 << 10, Received: 64 << 10, After: 65535}
	Heads = protocol.Window{Sent: 4 << 10, Received: 4 << 10, After: 64}
)

const (
	// large is the size of a message from which copying heads alone saves something.
	large = 16 << 10
	// settled large messages in a row change the window.
	settled = 4
)

// Scale adapts the window to the sizes of messages.
type Scale struct {
	heads bool
	inRow int
}

// Window is what is to be copied.
func (s *Scale) Window() protocol.Window {
	if s.heads {
		return Heads
	}
	return Whole
}

// Reset asks for everything: boundaries were lost, or several requests are in flight.
func (s *Scale) Reset() { *s = Scale{} }

// Weigh takes the size in bytes of the larger message of an exchange that ends while so
// many are in flight.
func (s *Scale) Weigh(size uint64, inFlight int) {
	switch {
	case inFlight > 1:
		s.Reset()
	case size >= large:
		if s.inRow < settled {
			s.inRow++
		}
		s.heads = s.heads || s.inRow == settled
	case size < large/4 && s.inRow > 0:
		s.inRow--
		s.heads = s.heads && s.inRow > 0
	}
}
