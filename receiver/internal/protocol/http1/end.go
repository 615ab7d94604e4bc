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
	if cause == exchange.FailureReset || cause == exchange.FailureTimeout {
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
		at, why := p.ended(sl.x.Start, time, cause)
		p.finish(at, why)
	}
	st.slot = nil
	if st.state != stateSync {
		st.sync(false)
	}
}

// ended is what ended an exchange that began at start: the earliest end of a
// direction since, or else what is reported now.
func (p *parser) ended(start, time uint64, cause exchange.Failure) (uint64, exchange.Failure) {
	for dir := range p.ends {
		e := &p.ends[dir]
		if e.Cause == exchange.FailureNone || e.Time < start || e.Time >= time {
			continue
		}
		if protocol.Direction(dir) == protocol.Sent && e.Cause == exchange.FailureClosed &&
			p.direction == protocol.Sent && cause != exchange.FailureClosed {
			// A client's half-close: it went on waiting, until now.
			continue
		}
		time, cause = e.Time, e.Cause
	}
	return time, cause
}
