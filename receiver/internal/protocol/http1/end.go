// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// End implements protocol.Parser.
//
// Only the end of the direction responses travel in ends anything: a client
// may shut its sending side down and wait. A reset is different: it leaves
// nothing to be read, except by a client that could not write any more, since
// the response may have come before.
func (p *parser) End(e protocol.End) {
	if p.err != nil || p.closed {
		return
	}
	if p.ends.Note(&e, p.direction) {
		p.fail(e.Time, e.Cause, e.Dir != p.direction)
	}
}

// Close implements protocol.Parser.
func (p *parser) Close(time uint64, cause exchange.Failure) {
	if p.closed {
		return
	}
	p.closed = true
	if p.err != nil || cause == exchange.FailureNone {
		p.abandonAll()
		return
	}
	// The process that sends responses ends them by closing.
	p.fail(time, cause, p.direction == protocol.Received || cause == exchange.FailureEOF)
}

// fail ends every exchange in flight, because no more responses can come. A
// response that lasts until the end is complete if the end was orderly.
func (p *parser) fail(time uint64, cause exchange.Failure, orderly bool) {
	if cause.Broken() {
		orderly = false
	}
	st := &p.resp
	if st.slot != nil {
		switch st.state {
		case stateUntilClose:
			if orderly {
				p.completeResponse(st.last)
			}
		case stateEvidence:
			if orderly || cause == exchange.FailureClosed {
				p.completeResponse(st.last)
			} else {
				// It may have been complete.
				p.host.Stats.Unmatched++
				p.abandonFront()
			}
		}
	}
	for sl := p.oldest(); sl != nil; sl = p.oldest() {
		if sl == st.slot {
			sl.d.ResponseBody = st.size()
		}
		at, why := p.ends.Since(sl.x.Start, time, cause, p.direction)
		p.finish(at, why)
	}
	st.slot = nil
	if st.state != stateSync {
		st.sync(false)
	}
}
