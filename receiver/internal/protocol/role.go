// SPDX-License-Identifier: Apache-2.0

package protocol

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"

// Role is the side a process is on that sees requests travel in a direction.
func (d Direction) Role() exchange.Role {
	if d == Sent {
		return exchange.RoleClient
	}
	return exchange.RoleServer
}

// RequestsOf is the direction that requests travel in for one side.
func RequestsOf(r exchange.Role) Direction {
	if r == exchange.RoleClient {
		return Sent
	}
	return Received
}

// Role is the side the process is on. Where the socket cannot tell (a socketpair), who
// reads requests is the server.
func (h *Host) Role(requests Direction) exchange.Role {
	if h.Connection.Role == exchange.RoleUnknown {
		return requests.Role()
	}
	return h.Connection.Role
}

// DetectByRole lets a detector judge the evidence for requests in the direction that the
// role tells; in either, if it tells none.
func DetectByRole(e *Evidence, in func(e *Evidence, requests Direction) Verdict) (Verdict, Direction) {
	if e.Role != exchange.RoleUnknown {
		requests := RequestsOf(e.Role)
		return in(e, requests), requests
	}
	received := in(e, Received)
	if received == Accepted {
		return received, Received
	}
	sent := in(e, Sent)
	if sent == Rejected {
		return received, Received
	}
	return sent, Sent
}
