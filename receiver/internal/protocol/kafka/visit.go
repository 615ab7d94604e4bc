// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"encoding/binary"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/tracecontext"
)

// requestVisitor is a parser as it takes the values of requests, for p.requests.call.
type requestVisitor parser

// tagReplica is the tagged field of a fetch request that has the replica's id, since
// version 15.
const tagReplica = 1

func (v *requestVisitor) number(is meaning, n int64) {
	c := v.requests.call
	switch is {
	case isAcks:
		c.acks, c.silent = n, n == 0
	case isReplica:
		c.replica = n
	case isPartition:
		if c.current != nil {
			c.current.take(int32(n))
		}
	}
}

func (v *requestVisitor) text(is meaning, b []byte) {
	p := (*parser)(v)
	c := p.requests.call
	switch is {
	case isTransaction:
		c.transaction = p.host.Strings.String(b)
	case isGroup:
		c.group = p.host.Strings.String(b)
	case isGroupMember:
		c.group = p.host.Strings.String(b)
		if c.group != "" && p.role == exchange.RoleClient {
			p.shared.tables.join(member{c.origin.PID, c.client}, c.group, c.origin.First)
		}
	case isTopic, isMemberTopic:
		p.named(c, p.host.Strings.String(b), nil)
	}
}

func (v *requestVisitor) id(_ meaning, b []byte) {
	p := (*parser)(v)
	id := topicID(b)
	p.named(p.requests.call, "", &id)
}

// named acts on a topic of a request.
func (p *parser) named(c *call, name string, id *topicID) {
	if !c.isCommit() {
		c.current = p.topic(c, name, id)
		return
	}
	// Offsets are committed together: one operation.
	o := c.operations[0]
	if o.topic != "" || o.hasID || o.topics > 1 {
		o.topic, o.hasID = "", false
		o.topics++
	} else if o.topic = name; id != nil {
		o.id, o.hasID = *id, true
	}
	c.current = o
}

func (v *requestVisitor) tag(number uint64, b []byte) {
	if number == tagReplica && len(b) >= 4 {
		v.requests.call.replica = int64(int32(binary.BigEndian.Uint32(b)))
	}
}

func (v *requestVisitor) batch(b batch) {
	o := v.requests.call.current
	o.add(b)
	o.first, o.last = -1, -1 // the broker decides
}

func (v *requestVisitor) header(_, value []byte) bool { return v.requests.call.current.link(value) }

func (v *requestVisitor) recordsEnd(_ uint64, uncounted bool) {
	if uncounted {
		v.requests.call.current.uncounted = true
	}
}

// add counts a batch.
func (o *operation) add(b batch) {
	if o.first < 0 {
		o.first = b.first
	}
	o.last = b.last
	switch {
	case b.control:
	case b.count < 0:
		o.uncounted, o.data = true, true
	default:
		o.messages += b.count
		o.data = true
	}
}

// link adds the context of a message.
func (o *operation) link(value []byte) bool {
	d := &o.d
	if l, ok := tracecontext.ParseLink(value); ok {
		for i := range d.Contexts {
			if d.Contexts[i].SpanID == l.SpanID && d.Contexts[i].TraceID == l.TraceID {
				return true
			}
		}
		d.Contexts = append(d.Contexts, l)
	}
	return len(d.Contexts) < maxLinks
}

// responseVisitor is a parser as it takes the values of responses, for p.responses.call.
type responseVisitor parser

func (v *responseVisitor) number(is meaning, n int64) {
	c := v.responses.call
	switch is {
	case isThrottle:
		c.throttle = n
	case isPartition:
		v.about.partition = int32(n)
		if c.key == apiProduce && c.current != nil && c.lostRequest {
			c.current.take(int32(n))
		}
	case isError:
		if n != 0 {
			v.failed(c, int16(n))
		}
	case isHighWatermark:
		c.watermark = n
	case isOffset:
		if o := c.current; o != nil && o.partitions == 1 {
			o.first = n
		}
	}
}

// failed keeps the first error of an operation.
func (v *responseVisitor) failed(c *call, code int16) {
	p := (*parser)(v)
	if c.isFetch() && p.about.topic {
		p.ensure(c)
	}
	o := c.current
	if o == nil {
		o = c.operations[0]
	}
	if o.code == 0 {
		o.code = code
	}
}

func (v *responseVisitor) text(is meaning, b []byte) {
	p := (*parser)(v)
	name := p.host.Strings.String(b)
	switch is {
	case isTopic:
		p.respondTopic(name, nil)
	case isNamedTopic:
		p.about.name = name
	}
}

func (v *responseVisitor) id(is meaning, b []byte) {
	p := (*parser)(v)
	id := topicID(b)
	switch is {
	case isTopicID:
		p.respondTopic("", &id)
	case isNamedID:
		if p.about.name != "" && id != (topicID{}) {
			p.shared.tables.name(id, p.about.name)
		}
	}
}

// respondTopic acts on a topic of a response: of a fetch, it becomes an operation when
// there is something of it.
func (p *parser) respondTopic(name string, id *topicID) {
	c := p.responses.call
	if c.isFetch() {
		p.about.topic, p.about.name, p.about.hasID = true, name, id != nil
		if id != nil {
			p.about.id = *id
		}
		c.current = nil
		return
	}
	c.current = c.find(name, id)
	if !c.lostRequest || c.isCommit() {
		return
	}
	if c.current == nil {
		c.current = p.topic(c, name, id)
		c.current.uncounted = true
	}
	// The response names all partitions.
	c.current.partitions, c.current.partial = 0, false
}

// ensure makes the operation of the topic that a fetch's response is about.
func (p *parser) ensure(c *call) *operation {
	if c.current == nil {
		if p.about.hasID {
			c.current = p.topic(c, "", &p.about.id)
		} else {
			c.current = p.topic(c, p.about.name, nil)
		}
		p.about.counted = false
	}
	o := c.current
	if !p.about.counted || o.partition != p.about.partition {
		o.take(p.about.partition)
		p.about.counted = true
	}
	return o
}

func (v *responseVisitor) tag(uint64, []byte) {}

func (v *responseVisitor) batch(b batch) { (*parser)(v).ensure(v.responses.call).add(b) }

func (v *responseVisitor) header(_, value []byte) bool { return v.responses.call.current.link(value) }

func (v *responseVisitor) recordsEnd(size uint64, uncounted bool) {
	if size == 0 {
		return
	}
	p := (*parser)(v)
	c := p.responses.call
	o := p.ensure(c)
	o.data = o.data || uncounted
	if uncounted {
		o.uncounted = true
		return
	}
	if o.last >= 0 && c.watermark >= 0 {
		o.lag = max(c.watermark-o.last-1, 0)
	}
}
