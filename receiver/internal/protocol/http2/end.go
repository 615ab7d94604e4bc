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
	if p.ends.Note(&e, p.requests) {
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
	d := &p.dirs[p.requests.Other()]
	lost := d.seen && !d.synced || d.unproven
	for len(p.calls) > 0 {
		c := p.calls[0]
		if lost || c.doubtful || !c.requested || c.class == classUnknown {
			p.abandon(c)
			continue
		}
		at, why := p.ends.Since(c.x.Start, time, cause, p.requests)
		p.finish(c, at, why)
	}
}
