// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"strconv"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// maxTopics is how many topics of a request get an exchange of their own; the
	// others share one.
	maxTopics = 32
	// maxOperations bounds the exchanges of a connection, maxFree those kept for reuse.
	maxOperations = 2048
	maxFree       = 64
	// maxLinks bounds the contexts taken from the messages of an exchange.
	maxLinks = 32
)

// System is messaging.system.
const system = "kafka"

// Span attributes that the conventions do not have.
const (
	// attrTopicID is the id of a topic whose name is not known.
	attrTopicID = "ebpf.kafka.topic_id"
	// attrTopics is the number of topics that share an exchange, attrPartitions that of
	// partitions, where it is not one.
	attrTopics     = "ebpf.kafka.topics"
	attrPartitions = "ebpf.kafka.partitions"
	// attrFirst and attrLast are the offsets of the first and the last message, where
	// they are of one partition and more than one; else there is attrOffset.
	attrFirst  = "ebpf.kafka.first_offset"
	attrLast   = "ebpf.kafka.last_offset"
	attrOffset = "messaging.kafka.offset"
	// attrThrottle is for how long the broker holds the client back, ms.
	attrThrottle = "ebpf.kafka.throttle_time_ms"
	// attrError is an error code that is a step of the protocol, not a failure.
	attrError = "ebpf.kafka.error"
	// attrAcks is 0 on spans of requests that have no response.
	attrAcks = "ebpf.kafka.acks"
	// attrReplica is the broker that replicates.
	attrReplica = "ebpf.kafka.replica_id"
	// attrTransaction is the transactional id.
	attrTransaction = "ebpf.kafka.transactional_id"
)

// operation is what becomes an exchange: what a call is to one topic.
type operation struct {
	x exchange.Exchange
	d messagingconv.Detail
	// topic is a name, or id an id that may have none yet.
	topic  string
	id     topicID
	hasID  bool
	topics int // more than one: they share the operation
	// partitions seen, and the last one of them.
	partitions int
	partition  int32
	partial    bool // there may be more of them
	// messages counted; uncounted says that there are more. first and last offset are
	// of the last partition.
	messages    int64
	uncounted   bool
	first, last int64
	data        bool // there were records
	lag         int64
	code        int16 // of the first error
}

// unknown stands for acks of which nothing is known: they are -1, 0, 1...
const unknown = -2

// call is a request that is unanswered, or being answered.
type call struct {
	id           int32
	key, version int16
	origin       stream.Origin
	client       string
	operations   []*operation
	// current is the operation whose topic is being decoded.
	current *operation
	// complete: all of the request passed. answered: all of the response, at end.
	complete, answered bool
	// silent requests have no response. Gone: the call has ended.
	silent, gone bool
	// lostRequest and lostResponse: a part of it could not be decoded.
	lostRequest, lostResponse bool
	end                       uint64
	measured                  exchange.Measured
	acks                      int64
	replica                   int64
	watermark                 int64
	transaction, group        string
	throttle                  int64
}

func (c *call) reset() {
	operations := c.operations[:0]
	*c = call{operations: operations, acks: unknown, replica: -1}
}

// isFetch reports whether it asks for messages.
func (c *call) isFetch() bool { return c.key == apiFetch || c.key == apiShareFetch }

// isCommit reports whether it commits offsets.
func (c *call) isCommit() bool { return c.key == apiOffsetCommit || c.key == apiTxnOffsetCommit }

// operation begins one more exchange of a call, or returns the one that the rest of
// topics share.
func (p *parser) operation(c *call) *operation {
	if n := len(c.operations); n >= maxTopics || n > 0 && p.operations >= maxOperations {
		o := c.operations[n-1]
		o.topic, o.hasID = "", false
		o.topics++
		return o
	}
	var o *operation
	if n := len(p.free); n > 0 {
		o = p.free[n-1]
		p.free = p.free[:n-1]
	} else {
		o = new(operation)
		o.x.Connection, o.x.Detail = p.host.Connection, &o.d
		o.d.Settings, o.d.Strings, o.d.System = p.shared.settings, p.host.Strings, system
	}
	p.operations++
	o.topic, o.hasID, o.topics = "", false, 1
	o.partitions, o.partition, o.partial = 0, 0, false
	o.messages, o.uncounted, o.first, o.last = 0, false, -1, -1
	o.data, o.lag, o.code = false, -1, 0
	o.d.Reset()
	o.d.Client = c.client
	x := &o.x
	x.PID, x.TID, x.Role = c.origin.PID, c.origin.TID, p.role
	x.Start, x.End, x.Failure = c.origin.First, 0, exchange.FailureNone
	x.Identity = c.origin.Identity
	if len(c.operations) > 0 {
		x.Identity = sibling(&c.operations[0].x.Identity)
	}
	x.Measured = exchange.Unmeasured
	x.Measured.QueueTime = c.origin.Measured.QueueTime
	c.operations = append(c.operations, o)
	p.name(c, o)
	p.host.Sink.Begin(x)
	return o
}

// sibling is the identity of another exchange that the same request is: it was made for
// the same one.
func sibling(id *exchange.Identity) exchange.Identity {
	own := protocol.NewIdentity()
	if id.Parent != 0 {
		own.Parent, own.Linked, own.Method = id.Parent, id.Linked, id.Method
		if !id.Method.IsLink() {
			own.Trace = id.Trace
		}
	}
	return own
}

// name sets what the operation is called.
func (p *parser) name(c *call, o *operation) {
	d := &o.d
	switch {
	case c.key == apiProduce:
		d.Operation, d.Type, d.Batch = "send", messagingconv.Send, true
	case c.isFetch() && c.replica >= 0:
		d.Operation, d.Batch = "replicate", true
	case c.isFetch():
		d.Operation, d.Type, d.Batch = "poll", messagingconv.Receive, true
	case c.isCommit():
		d.Operation, d.Type = "commit", messagingconv.Settle
	case c.key == apiShareAcknowledge:
		d.Operation, d.Type = "acknowledge", messagingconv.Settle
	case int(c.key) < len(apis):
		d.Operation = apis[c.key].name
	default:
		p.scratch = strconv.AppendInt(append(p.scratch[:0], "ApiKey "...), int64(c.key), 10)
		d.Operation = p.host.Strings.String(p.scratch)
	}
}

// topic is an operation of a call for one more topic; of fetches the responses name them.
func (p *parser) topic(c *call, name string, id *topicID) *operation {
	o := c.operations[0]
	if o.topic != "" || o.hasID {
		o = p.operation(c)
	}
	if o.topics > 1 {
		return o
	}
	o.topic = name
	if id != nil {
		o.id, o.hasID = *id, true
	}
	return o
}

// find is the operation of a call on a topic that its request named, nil if there is none.
func (c *call) find(name string, id *topicID) *operation {
	for _, o := range c.operations {
		if id != nil && o.hasID && o.id == *id || id == nil && !o.hasID && o.topic == name {
			return o
		}
	}
	if last := c.operations[len(c.operations)-1]; last.topics > 1 {
		return last
	}
	return nil
}

// take adds a partition to an operation.
func (o *operation) take(partition int32) {
	o.partitions++
	o.partition = partition
	o.first, o.last = -1, -1
}

// settle fills in what is known at the end of a call, but for the topic's name.
func (p *parser) settle(c *call, o *operation) {
	d := &o.d
	p.name(c, o)
	d.Group = c.group
	if o.topics > 1 {
		d.Extra = append(d.Extra, messagingconv.Attribute{Key: attrTopics, Int: int64(o.topics)})
	}
	if o.partial {
		o.partitions = 0
	}
	if o.partitions == 1 && o.topics == 1 {
		p.scratch = strconv.AppendInt(p.scratch[:0], int64(o.partition), 10)
		d.Partition = p.host.Strings.String(p.scratch)
	} else if o.partitions > 1 {
		d.Extra = append(d.Extra, messagingconv.Attribute{Key: attrPartitions, Int: int64(o.partitions)})
	}
	if d.Batch {
		p.count(c, o)
	}
	if o.code != 0 {
		if name := errorName(o.code); expected(c.key, o.code) {
			d.Extra = append(d.Extra, messagingconv.Attribute{Key: attrError, Text: name})
		} else {
			d.Error = name
		}
	}
	if c.throttle > 0 {
		d.Extra = append(d.Extra, messagingconv.Attribute{Key: attrThrottle, Int: c.throttle})
	}
	if c.silent {
		d.Extra = append(d.Extra, messagingconv.Attribute{Key: attrAcks})
	}
	if c.replica >= 0 {
		d.Extra = append(d.Extra, messagingconv.Attribute{Key: attrReplica, Int: c.replica})
	}
	if c.transaction != "" {
		d.Extra = append(d.Extra, messagingconv.Attribute{Key: attrTransaction, Text: c.transaction})
	}
}

// group fills in the group that a consumer has named on another connection.
func (p *parser) group(o *operation) {
	if d := &o.d; d.Group == "" && d.Type == messagingconv.Receive && p.role == exchange.RoleClient {
		d.Group = p.shared.tables.group(member{o.x.PID, d.Client}, o.x.Start)
	}
}

// count fills in what is known of messages.
func (p *parser) count(c *call, o *operation) {
	d := &o.d
	d.Messages = o.messages
	if o.uncounted {
		d.Messages = -1
	}
	if c.isFetch() && c.answered && !c.lostResponse && !o.data && o.code == 0 {
		d.Empty = true
	}
	if o.partitions != 1 || o.topics != 1 {
		return
	}
	d.Lag = o.lag
	switch {
	case o.first < 0 || o.code != 0:
	case d.Messages == 1:
		d.Extra = append(d.Extra, messagingconv.Attribute{Key: attrOffset, Int: o.first})
	case c.isFetch():
		if o.last >= 0 {
			d.Extra = append(d.Extra, messagingconv.Attribute{Key: attrFirst, Int: o.first}, messagingconv.Attribute{Key: attrLast, Int: o.last})
		}
	case d.Messages > 1:
		d.Extra = append(d.Extra, messagingconv.Attribute{Key: attrFirst, Int: o.first}, messagingconv.Attribute{Key: attrLast, Int: o.first + d.Messages - 1})
	}
}

// end reports a call's exchanges.
func (p *parser) end(c *call, time uint64, failure exchange.Failure) {
	for i, o := range c.operations {
		p.report(c, o, time, failure)
		c.operations[i] = nil
	}
	p.release(c)
}

// abandon takes a call's exchanges back.
func (p *parser) abandon(c *call) {
	for i, o := range c.operations {
		p.host.Sink.Abandon(&o.x)
		p.recycle(o)
		c.operations[i] = nil
	}
	p.release(c)
}

// release keeps the memory of a call that has ended.
func (p *parser) release(c *call) {
	p.operations -= len(c.operations)
	c.operations = c.operations[:0]
	c.current = nil
	c.gone = true
	if p.requests.call == c {
		p.requests.call = nil
	}
	if p.responses.call == c {
		p.responses.call = nil
	}
	for front := p.calls.Front(); front != nil && front.gone; front = p.calls.Front() {
		p.calls.Recycle(p.calls.Pop())
	}
}
