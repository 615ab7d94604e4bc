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
		at, why := p.ends.Since(sl.x.Start, time, cause, p.direction)
		p.report(sl, at, why)
	}
	for _, sl := range p.flight {
		at, why := p.ends.Since(sl.x.Start, time, cause, p.direction)
		p.report(sl, at, why)
	}
	clear(p.flight)
}
