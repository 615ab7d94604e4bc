// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// End implements protocol.Parser. As in HTTP/1, only the end of the direction that
// responses travel in ends anything, and a reset.
func (p *parser) End(e protocol.End) {
	if p.err != nil || p.closed {
		return
	}
	if p.ends[e.Dir].Time == 0 {
		p.ends[e.Dir] = e
	}
	broken := e.Cause == exchange.FailureReset || e.Cause == exchange.FailureTimeout
	if e.Dir != p.requests || broken && e.Dir == protocol.Received {
		p.fail(e.Time, e.Cause)
	}
}

// Close implements protocol.Parser.
func (p *parser) Close(time uint64, cause exchange.Failure) {
	if p.closed {
		return
	}
	p.closed = true
	if p.err != nil || cause == exchange.FailureNone {
		p.retractAll()
		return
	}
	p.fail(time, cause)
}

// fail ends every call in flight, because no more responses can come; those that may
// have been answered in bytes that were lost are given up.
func (p *parser) fail(time uint64, cause exchange.Failure) {
	for len(p.calls) > 0 {
		c := p.calls[0]
		if c.doubtful || !c.requested || c.class == classUnknown {
			p.abandon(c)
			continue
		}
		at, why := p.endOf(c.x.Start, time, cause)
		p.finish(c, at, why)
	}
}

// endOf is what ended a call that began at start: the earliest end of a direction
// since, or else what is reported now.
func (p *parser) endOf(start, time uint64, cause exchange.Failure) (uint64, exchange.Failure) {
	for dir := range p.ends {
		e := &p.ends[dir]
		if e.Cause == exchange.FailureNone || e.Time < start || e.Time >= time {
			continue
		}
		if protocol.Direction(dir) == protocol.Sent && p.requests == protocol.Sent &&
			e.Cause == exchange.FailureClosed && cause != exchange.FailureClosed {
			continue // a client's half-close: it went on waiting
		}
		time, cause = e.Time, e.Cause
	}
	return time, cause
}
