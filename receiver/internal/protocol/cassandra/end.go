// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// End implements protocol.Parser. The end of the direction responses travel in ends
// what is in flight; a reset does so in either, as far as the process has noticed.
func (p *parser) End(e protocol.End) {
	if p.err != nil || p.closed {
		return
	}
	if e.Cause == exchange.FailureNone {
		e.Cause = exchange.FailureEOF
		if e.Dir == protocol.Sent {
			e.Cause = exchange.FailureClosed
		}
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
	p.servers.release(p.statements)
	if p.err != nil || cause == exchange.FailureNone {
		p.abandonAll()
		return
	}
	p.fail(time, cause)
}

// fail ends what is in flight: no more can come.
func (p *parser) fail(time uint64, cause exchange.Failure) {
	if p.resp.lost || p.resp.in.skip {
		p.host.Stats.Unmatched += uint64(len(p.flight))
		p.abandonAll()
		return
	}
	if sl := p.ending; sl != nil {
		p.ending = nil
		at, why := p.ended(sl.x.Start, time, cause)
		p.report(sl, at, why)
	}
	for _, sl := range p.flight {
		at, why := p.ended(sl.x.Start, time, cause)
		p.report(sl, at, why)
	}
	clear(p.flight)
}

// ended is what ended an exchange that began at start: the earliest end of a direction
// since, or else what is reported now.
func (p *parser) ended(start, time uint64, cause exchange.Failure) (uint64, exchange.Failure) {
	for i := range p.ends {
		e := &p.ends[i]
		if e.Cause == exchange.FailureNone || e.Time < start || e.Time >= time {
			continue
		}
		if e.Dir == protocol.Sent && e.Cause == exchange.FailureClosed && p.direction == protocol.Sent && cause != exchange.FailureClosed {
			continue // a client's half-close: it went on waiting
		}
		time, cause = e.Time, e.Cause
	}
	return time, cause
}
