// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"math/bits"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

const (
	// settledExchanges is how many exchanges show what heads are like.
	settledExchanges = 4
	// Requests seldom have bodies, and a cut head would lose headers: they are
	// copied generously. Responses mostly are body; a cut response head still
	// has the status.
	requestWindow     = 16 << 10
	minResponseWindow = 1 << 10
	maxWindow         = 64 << 10
	// cutHead is how long a head is taken to be that was cut.
	cutHead = 16 << 10
	// after covers a chunk's size line, or the end of a chunked body.
	after = 64
)

// grow adapts the window to the largest heads, once the connection is settled.
func (p *parser) grow() {
	if p.settled < settledExchanges || p.window.Sent == maxWindow && p.window.Received == maxWindow {
		return
	}
	var w [2]uint32
	w[p.direction] = window(p.req.largest, requestWindow)
	w[p.direction.Other()] = window(p.resp.largest, minResponseWindow)
	p.window = protocol.Window{
		Sent:     w[protocol.Sent],
		Received: w[protocol.Received],
		After:    after,
	}
}

// window is the power of two that covers two heads, at least least.
func window(head int, least uint32) uint32 {
	return min(maxWindow, max(least, uint32(1)<<bits.Len(uint(max(2*head, 2)-1))))
}

// widen asks for everything: with pipelining a head can be anywhere.
func (p *parser) widen() {
	p.window = protocol.Window{Sent: maxWindow, Received: maxWindow, After: after}
}
