// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

const (
	// settledExchanges is how many exchanges show what heads are like.
	settledExchanges = 4
	// Requests seldom have bodies, and a cut head would lose headers: they are
	// copied generously. Responses mostly are body; a cut response head still
	// has the status.
	requestWindow     = 16 << 10
	minResponseWindow = 256
	maxWindow         = 64 << 10
	// cutHead is how long a head is taken to be that was cut.
	cutHead = 25 << 10
	// after covers a chunk's size line, or the end of a chunked body.
	after = 64
)

// grow adapts the window to the largest heads, once the connection is settled.
func (p *parser) grow() {
	if p.settled < settledExchanges || p.window.Sent == maxWindow && p.window.Received == maxWindow {
		return
	}
	var w [2]uint32
	w[p.direction] = max(requestWindow, headroom(p.req.largest))
	w[p.direction.Other()] = max(minResponseWindow, headroom(p.resp.largest))
	p.window = protocol.Window{
		Sent:     w[protocol.Sent],
		Received: w[protocol.Received],
		After:    after,
	}
}

// headroom is the window for heads of up to that size and somewhat larger ones,
// in steps, so that it changes rarely.
func headroom(head int) uint32 {
	const step = 128
	return min(maxWindow, uint32((head+head/4+step+step-1)/step*step))
}

// widen asks for everything: with pipelining a head can be anywhere.
func (p *parser) widen() {
	p.window = protocol.Window{Sent: maxWindow, Received: maxWindow, After: after}
}
