// SPDX-License-Identifier: Apache-2.0

package amqp

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/broker"
)

// Attributes of semantic conventions v1.43.0; a test compares them with the Go semconv
// package.
const (
	attrRoutingKey   = "messaging.rabbitmq.destination.routing_key"
	attrDeliveryTag  = "messaging.rabbitmq.message.delivery_tag"
	attrConversation = "messaging.message.conversation_id"
)

// Our own: the reply code that a broker refused with, a number.
const attrReplyCode = "ebpf.amqp.reply_code"

// header reads a content header (chapter 4.2.6.1): class, weight, body size, flags,
// properties. The last two may be missing.
func (p *parser) header(c *channel, dir protocol.Direction, b []byte) {
	k := &c.content[dir]
	a := arguments{b: b}
	class, _, size := a.short(), a.short(), a.longlong()
	if k.kind == 0 || k.header || class != 60 || a.bad {
		// The method was not seen, or there is none.
		p.drop(k)
		return
	}
	k.header, k.left, k.size = true, size, size
	s := k.slot.Get()
	if s == nil {
		return
	}
	s.D.Body = int64(min(size, 1<<62))
	if flags := a.short(); !a.bad {
		props := parseProperties(flags, &a)
		s.Context(props.traceparent, props.tracestate)
		s.D.Message = p.Host.Strings.String(props.message)
		if len(props.correlation) > 0 {
			s.D.Extra = append(s.D.Extra, messagingconv.Attribute{Key: attrConversation, Text: p.Host.Strings.String(props.correlation)})
		}
	}
	switch k.kind {
	case basicPublish:
		if c.confirms != confirmsOn {
			return
		}
		if !p.Adopt(s, orphanConfirm, c.id, s.ID) {
			p.Begin(s, &c.publishes)
		}
	case basicDeliver:
		if s.Flag {
			return
		}
		if !p.Adopt(s, orphanSettle, c.id, s.ID) {
			p.Begin(s, &c.deliveries)
		}
	}
}

// body accounts for a body frame.
func (p *parser) body(c *channel, dir protocol.Direction, size uint64, f *framing) {
	k := &c.content[dir]
	if k.kind == 0 || !k.header {
		return
	}
	if size > k.left {
		p.Host.Stats.Invalid++
		p.drop(k)
		return
	}
	if k.frame == 0 && size < k.left {
		k.frame = size
	}
	k.left -= size
	f.channel = c
}

// complete acts on a content whose last byte has moved, if it has.
func (p *parser) complete(c *channel, dir protocol.Direction) {
	k := &c.content[dir]
	if k.kind == 0 || !k.header || k.left > 0 {
		return
	}
	p.Note(dir, k.size+128)
	s, kind, code, now := k.slot.Get(), k.kind, k.code, p.S.Time
	*k = content{}
	if s == nil {
		return
	}
	switch kind {
	case basicPublish:
		if c.confirms != confirmsOn {
			p.Once(s)
		}
	case basicDeliver:
		if s.Flag {
			p.Once(s)
			return
		}
		s.Complete = now
	case basicGetOk:
		p.Finish(s)
	case basicReturn:
		p.returned(c, s, code)
	}
}

// publish reads basic.publish.
func (p *parser) publish(c *channel, dir protocol.Direction, a *arguments) {
	k := &c.content[dir]
	p.drop(k)
	a.short()
	name, key, bits := a.shortstr(), a.shortstr(), a.octet()
	if a.bad {
		p.Host.Stats.Invalid++
		return
	}
	s := p.Acquire(dir)
	s.D.Operation, s.D.Type, s.D.Messages = "publish", messagingconv.Send, 1
	p.destination(s, name, key, "")
	if c.confirms == confirmsUncounted && c.acked > 0 && s.X.Start >= c.last+settled {
		c.confirms, c.next = confirmsOn, c.acked+1
	}
	if c.confirms == confirmsOn {
		s.ID = c.next
		c.next++
	}
	s.Flag = bits&1 != 0
	c.last = p.S.Time
	*k = content{slot: s.Ref(), kind: basicPublish}
}

// deliver reads basic.deliver.
func (p *parser) deliver(c *channel, dir protocol.Direction, a *arguments) {
	k := &c.content[dir]
	p.drop(k)
	consumerTag, tag := a.shortstr(), a.longlong()
	a.octet()
	name, key := a.shortstr(), a.shortstr()
	if a.bad {
		p.Host.Stats.Invalid++
		return
	}
	from, found := c.consumers[string(consumerTag)]
	s := p.Acquire(dir)
	s.D.Operation, s.D.Type, s.D.Messages = "deliver", messagingconv.Process, 1
	p.destination(s, name, key, from.queue)
	s.D.Extra = append(s.D.Extra, messagingconv.Attribute{Key: attrDeliveryTag, Int: int64(tag)})
	s.ID = tag
	// Flag: nobody will settle it.
	if s.Flag = found && from.noAck; s.Flag {
		s.D.Type = messagingconv.Receive
	}
	// Whether somebody will is not known of consumers that are older than we are.
	s.Receipt, s.Name, s.Type = !found, "deliver", messagingconv.Receive
	s.Complete = p.S.Time
	*k = content{slot: s.Ref(), kind: basicDeliver}
}

// get ends in get-ok and a content.
func (p *parser) getOk(c *channel, dir protocol.Direction, a *arguments) {
	k := &c.content[dir]
	p.drop(k)
	*k = content{kind: basicGetOk}
	tag := a.longlong()
	a.octet()
	name, key := a.shortstr(), a.shortstr()
	s := p.reply(c, basicGetOk)
	if s == nil {
		return
	}
	if a.bad {
		p.Host.Stats.Invalid++
		return
	}
	s.D.Messages = 1
	noAck, queue := s.Flag, s.D.Destination
	p.destination(s, name, key, queue)
	s.D.Extra = append(s.D.Extra, messagingconv.Attribute{Key: attrDeliveryTag, Int: int64(tag)})
	if !noAck && len(c.got) < maxGot {
		c.got = append(c.got, got{tag, s.D.Destination})
	}
	k.slot = s.Ref()
}

// basicReturned reads basic.return, which a content follows.
func (p *parser) basicReturned(c *channel, dir protocol.Direction, a *arguments) {
	k := &c.content[dir]
	p.drop(k)
	code := a.short()
	a.shortstr()
	name, key := a.shortstr(), a.shortstr()
	if a.bad {
		p.Host.Stats.Invalid++
		return
	}
	s := p.Acquire(dir)
	s.D.Operation = "return"
	p.destination(s, name, key, "")
	s.D.Error = replyCode(code)
	s.D.Extra = append(s.D.Extra, messagingconv.Attribute{Key: attrReplyCode, Int: int64(code)})
	*k = content{slot: s.Ref(), kind: basicReturn, code: code}
}

// returned finds the publish that a returned message was: the oldest unconfirmed one that
// asked for it with the same destination. If there is none, the return stands for itself.
func (p *parser) returned(c *channel, s *broker.Slot, code uint16) {
	for o := c.publishes.Front(); o != nil; o = o.Next() {
		if o.Flag && o.D.Error == "" && o.D.Destination == s.D.Destination && o.D.Message == s.D.Message {
			o.D.Error = s.D.Error
			o.D.Extra = append(o.D.Extra, messagingconv.Attribute{Key: attrReplyCode, Int: int64(code)})
			p.Release(s)
			return
		}
	}
	p.Once(s)
}

const (
	orphanConfirm uint8 = 1 + iota
	orphanSettle
	orphanReply
)

// confirm reads what the broker says of publishes: basic.ack and basic.nack.
func (p *parser) confirm(c *channel, tag uint64, multiple bool, why string) {
	c.last = p.S.Time
	c.acked = max(c.acked, tag)
	switch c.confirms {
	case confirmsOn:
		p.settle(&c.publishes, c.id, orphanConfirm, tag, multiple, why)
	case confirmsUnknown:
		c.confirms = confirmsUncounted
	}
}

// settle ends exchanges by their tags. It reports whether there were any.
func (p *parser) settle(l *broker.List, channel uint16, kind uint8, tag uint64, multiple bool, why string) bool {
	found := false
	for s := l.Front(); s != nil; {
		next := s.Next()
		if s.ID == tag || multiple && (tag == 0 || s.ID < tag) {
			if why != "" {
				s.D.Error = why
			}
			p.Finish(s)
			found = true
		} else if s.ID > tag && tag != 0 {
			break // tags count up
		}
		s = next
	}
	if !found || multiple && l.Len() == 0 {
		if kind == orphanConfirm || !found {
			p.Orphaned(broker.Orphan{Kind: kind, Channel: channel, ID: tag, Multiple: multiple, Error: why})
			if found {
				p.Host.Stats.Unmatched--
			}
		}
	}
	return found
}

// acknowledge reads what a consumer says of messages: ack, nack and reject.
func (p *parser) acknowledge(c *channel, dir protocol.Direction, name string, tag uint64, multiple bool, why string) {
	var destination string
	n, kept := int64(0), c.got[:0]
	for _, g := range c.got {
		if g.tag == tag || multiple && (tag == 0 || g.tag < tag) {
			n++
			destination = g.destination
			continue
		}
		kept = append(kept, g)
	}
	c.got = kept
	if n == 0 {
		p.settle(&c.deliveries, c.id, orphanSettle, tag, multiple, why)
		return
	}
	if multiple {
		for s := c.deliveries.Front(); s != nil && (tag == 0 || s.ID <= tag); s = c.deliveries.Front() {
			if why != "" {
				s.D.Error = why
			}
			p.Finish(s)
		}
	}
	s := p.Acquire(dir)
	s.D.Operation, s.D.Type = name, messagingconv.Settle
	s.D.Destination = destination
	s.D.Messages, s.D.Batch = n, multiple
	s.D.Extra = append(s.D.Extra, messagingconv.Attribute{Key: attrDeliveryTag, Int: int64(tag)})
	p.Once(s)
}

// destination names where a message goes, as the conventions have it for RabbitMQ:
// exchange, routing key and, of consumers, queue, joined by colons; those that are empty
// are left out, and so is the queue if it is called as the key.
func (p *parser) destination(s *broker.Slot, name, key []byte, queue string) {
	b := append(p.scratch[:0], name...)
	if len(key) > 0 {
		if len(b) > 0 {
			b = append(b, ':')
		}
		b = append(b, key...)
		s.D.Extra = append(s.D.Extra, messagingconv.Attribute{Key: attrRoutingKey, Text: p.Host.Strings.String(key)})
	}
	if queue != "" && queue != string(key) {
		if len(b) > 0 {
			b = append(b, ':')
		}
		b = append(b, queue...)
	}
	if len(b) == 0 {
		b = append(b, "amq.default"...)
	}
	p.scratch = b
	s.D.Destination = p.Host.Strings.String(b)
	s.D.Anonymous = len(name) == 0 && generated(key) || len(queue) > 8 && queue[:8] == "amq.gen-"
	s.D.Temporary = len(name) == 0 && bytes.HasPrefix(key, []byte("amq.rabbitmq.reply-to"))
}

// generated recognises names that RabbitMQ makes for queues without one.
func generated(name []byte) bool { return bytes.HasPrefix(name, []byte("amq.gen-")) }
