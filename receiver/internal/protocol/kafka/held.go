// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"slices"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

const (
	// maxHeld bounds the exchanges of a connection that wait for the name of their topic, or
	// group; patience is for how long they do, ns. What names it is on another connection, which
	// may be read later by as much as the readers lag behind.
	maxHeld  = 256
	patience = 1e9
	// maxNameless bounds the ids of a connection that were waited for in vain.
	maxNameless = 16
)

// held are exchanges that have ended and wait for the name of their topic, or group, oldest
// first.
type held struct {
	operations []*operation
	// nameless are ids that have no name for all the waiting: exchanges are not held
	// for them any more. Next is the oldest one, which goes first.
	nameless [maxNameless]topicID
	next     int
	// groupless: the client is in no group, as far as is known.
	groupless bool
}

// waits reports whether an operation that has ended had better wait for a name.
func (p *parser) waits(o *operation) bool {
	return !o.d.Empty && !p.closed && (p.waitsForTopic(o) || p.waitsForGroup(o))
}

func (p *parser) waitsForTopic(o *operation) bool {
	return o.hasID && o.topic == "" && !slices.Contains(p.held.nameless[:], o.id)
}

func (p *parser) waitsForGroup(o *operation) bool {
	return o.d.Group == "" && o.d.Type == messagingconv.Receive && p.role == exchange.RoleClient && !p.held.groupless
}

// hold keeps an exchange back; if there are too many, the oldest goes on without a name.
func (p *parser) hold(o *operation) {
	h := &p.held
	if len(h.operations) == maxHeld {
		p.let(1)
	}
	h.operations = append(h.operations, o)
}

// unhold reports exchanges that were held, as far as their names have become known, or
// they have waited for long enough: those behind one that waits keep waiting.
func (p *parser) unhold(now uint64) {
	n := 0
	for _, o := range p.held.operations {
		p.lookUp(o)
		if p.waits(o) {
			if now < o.x.End+patience {
				break
			}
			if p.waitsForTopic(o) {
				p.held.nameless[p.held.next] = o.id
				p.held.next = (p.held.next + 1) % maxNameless
			}
			p.held.groupless = p.held.groupless || p.waitsForGroup(o)
		}
		n++
	}
	p.let(n)
}

// let reports the n exchanges that have been held for longest.
func (p *parser) let(n int) {
	h := &p.held
	for _, o := range h.operations[:n] {
		p.lookUp(o)
		p.destination(o)
		p.host.Sink.End(&o.x)
		p.recycle(o)
	}
	left := copy(h.operations, h.operations[n:])
	clear(h.operations[left:])
	h.operations = h.operations[:left]
}

// lookUp asks what other connections have named.
func (p *parser) lookUp(o *operation) {
	if o.hasID && o.topic == "" {
		o.topic = p.shared.tables.topic(o.id)
	}
	p.group(o)
}

// destination names an operation's topic, or says its id.
func (p *parser) destination(o *operation) {
	if o.hasID && o.topic == "" {
		p.scratch = o.id.appendTo(p.scratch[:0])
		o.d.Extra = append(o.d.Extra, messagingconv.Attribute{Key: attrTopicID, Text: p.host.Strings.String(p.scratch)})
	}
	o.d.Destination = o.topic
}

// Tick implements protocol.Ticker.
func (p *parser) Tick(now uint64) { p.unhold(now) }

var _ protocol.Ticker = (*parser)(nil)

// report ends an operation, of which all but names is known.
func (p *parser) report(c *call, o *operation, time uint64, failure exchange.Failure) {
	p.settle(c, o)
	x := &o.x
	x.End = max(time, x.Start)
	x.Failure = failure
	queued := x.Measured.QueueTime
	x.Measured = c.measured
	x.Measured.QueueTime = queued
	p.lookUp(o)
	if p.waits(o) {
		p.hold(o)
		return
	}
	p.destination(o)
	p.host.Sink.End(x)
	p.recycle(o)
}

// recycle keeps the memory of an operation whose exchange has ended.
func (p *parser) recycle(o *operation) {
	o.x.InFlight, o.x.Workload = nil, nil
	if len(p.free) < maxFree {
		p.free = append(p.free, o)
	}
}
