// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// End implements protocol.Parser.
//
// Only the end of the direction responses travel in ends anything: a client may shut its
// sending side down and wait. After a reset there is nothing to be read, except by a
// client that could not write any more, since the response may have come before.
func (p *parser) End(e protocol.End) {
	if p.err != nil || p.closed {
		return
	}
	if p.ends.Note(&e, p.direction) {
		p.fail(e.Time, e.Cause)
	}
}

// Close implements protocol.Parser.
func (p *parser) Close(time uint64, cause exchange.Failure) {
	if p.closed {
		return
	}
	p.closed = true
	p.let(len(p.held.operations))
	if p.err != nil || cause == exchange.FailureNone {
		for c := p.calls.Front(); c != nil; c = p.calls.Front() {
			p.abandon(c)
		}
		return
	}
	p.fail(time, cause)
}

// fail ends every call in flight, because no more responses can come.
func (p *parser) fail(time uint64, cause exchange.Failure) {
	sd := &p.responses
	// What was taken for the beginning of a response after a loss may have been none.
	lost := p.hiddenAt > 0 && (!sd.synced || sd.inMessage)
	for c := p.calls.Front(); c != nil; c = p.calls.Front() {
		at, why := p.ends.Since(c.origin.First, time, cause, p.direction)
		switch {
		case c.answered:
			p.end(c, c.end, exchange.FailureNone)
		case lost || c.origin.First < p.hiddenAt || c.lostRequest && c.key == apiProduce && c.acks == unknown:
			// It may have been answered, or not need to be.
			p.host.Stats.Unmatched++
			p.abandon(c)
		case c.isFetch() && (p.role == exchange.RoleServer || why == exchange.FailureClosed):
			p.abandon(c) // a consumer that waited for messages, and left
		default:
			p.end(c, at, why)
		}
	}
}
