// SPDX-License-Identifier: Apache-2.0

package protocol

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"

// Ends are those of the directions of a connection, as its parser was told of them. The
// zero value is ready to use; requests is the direction that requests travel in.
type Ends [2]End

// Final reports whether an end leaves requests without responses.
//
// Only that of the direction responses travel in does: a client may shut its sending
// side down and wait. A reset is different: it leaves nothing to be read, except by a
// client that could not write any more, since the response may have come before.
func (e *End) Final(requests Direction) bool {
	return e.Dir != requests || e.Cause.Broken() && e.Dir == Received
}

// Note remembers an end, the first of its direction, completes its cause, and reports
// whether it is Final.
func (n *Ends) Note(e *End, requests Direction) (final bool) {
	if e.Cause == exchange.FailureNone {
		e.Cause = exchange.FailureEOF
		if e.Dir == Sent {
			e.Cause = exchange.FailureClosed
		}
	}
	if n[e.Dir].Time == 0 {
		n[e.Dir] = *e
	}
	return e.Final(requests)
}

// Since is what ended an exchange that began at start: the earliest end of a direction
// since, or else what is reported now.
func (n *Ends) Since(start, time uint64, cause exchange.Failure, requests Direction) (uint64, exchange.Failure) {
	for dir := range n {
		e := &n[dir]
		if e.Cause == exchange.FailureNone || e.Time < start || e.Time >= time {
			continue
		}
		if Direction(dir) == Sent && e.Cause == exchange.FailureClosed && requests == Sent && cause != exchange.FailureClosed {
			// A client's half-close: it went on waiting, until now.
			continue
		}
		time, cause = e.Time, e.Cause
	}
	return time, cause
}
