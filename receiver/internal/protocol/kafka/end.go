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
	if p.ends[e.Dir].Time == 0 {
		p.ends[e.Dir] = e
	}
	broken := e.Cause == exchange.FailureReset || e.Cause == exchange.FailureTimeout
	if e.Dir != p.direction || broken && e.Dir == protocol.Received {
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
	for c := p.calls.Front(); c != nil; c = p.calls.Front() {
		at, why := p.ended(c.origin.First, time, cause)
		switch {
		case c.answered:
			p.end(c, c.end, exchange.FailureNone)
		case p.hidden && c.origin.First < p.hiddenAt || c.lostRequest && c.key == apiProduce && c.acks == unknown:
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

// ended is what ended a call that began at start: the earliest end of a direction since,
// or else what is reported now.
func (p *parser) ended(start, time uint64, cause exchange.Failure) (uint64, exchange.Failure) {
	for dir := range p.ends {
		e := &p.ends[dir]
		if e.Cause == exchange.FailureNone || e.Time < start || e.Time >= time {
			continue
		}
		if protocol.Direction(dir) == protocol.Sent && e.Cause == exchange.FailureClosed &&
			p.direction == protocol.Sent && cause != exchange.FailureClosed {
			continue // a client's half-close: it went on waiting
		}
		time, cause = e.Time, e.Cause
	}
	return time, cause
}
