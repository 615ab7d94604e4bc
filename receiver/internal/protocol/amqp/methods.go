// SPDX-License-Identifier: Apache-2.0

package amqp

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/broker"
)

// method acts on a method frame.
func (p *parser) method(number uint16, dir protocol.Direction, payload []byte) {
	a := arguments{b: payload}
	m := method(a.long())
	c := p.channel(number)
	if c == nil {
		return
	}
	if dir == p.Requests {
		p.fromClient(c, m, dir, &a)
	} else {
		p.fromBroker(c, m, dir, &a)
	}
}

func (p *parser) fromClient(c *channel, m method, dir protocol.Direction, a *arguments) {
	switch m {
	case basicPublish:
		p.publish(c, dir, a)
	case basicAck:
		tag, bits := a.longlong(), a.octet()
		p.acknowledge(c, dir, "ack", tag, bits&1 != 0, "")
	case basicNack:
		tag, bits := a.longlong(), a.octet()
		p.acknowledge(c, dir, "nack", tag, bits&1 != 0, "nack")
	case basicReject:
		p.acknowledge(c, dir, "reject", a.longlong(), false, "reject")
	case basicGet:
		a.short()
		queue, bits := a.shortstr(), a.octet()
		s := p.Acquire(dir)
		s.D.Operation, s.D.Type, s.D.Messages = "get", messagingconv.Receive, 0
		p.queue(s, c, queue)
		s.Flag = bits&1 != 0
		p.call(c, s, basicGetOk)
	case connectionTuneOk:
		a.short()
		p.frameMax = uint64(a.long())
	case connectionOpen:
		// The connect exchange goes on.
	case connectionCloseOk:
		p.orderly()
	case channelCloseOk:
		p.closeChannel(c)
	case basicRecoverAsync:
		p.redeliver(c)
	default:
		if name, ok := calls[m]; ok {
			p.request(c, m, name, dir, a)
		}
	}
}

// request begins the exchange of a method that has a reply.
func (p *parser) request(c *channel, m method, name string, dir protocol.Direction, a *arguments) {
	s := p.Acquire(dir)
	s.D.Operation = name
	noWait := false
	switch m {
	case exchangeDeclare:
		a.short()
		s.D.Destination = p.Host.Strings.String(a.shortstr())
		a.shortstr()
		noWait = a.octet()&(1<<4) != 0
	case exchangeDelete:
		a.short()
		s.D.Destination = p.Host.Strings.String(a.shortstr())
		noWait = a.octet()&(1<<1) != 0
	case exchangeBind, exchangeUnbind:
		a.short()
		s.D.Destination = p.Host.Strings.String(a.shortstr())
		a.shortstr()
		a.shortstr()
		noWait = a.octet()&1 != 0
	case queueDeclare:
		a.short()
		queue := a.shortstr()
		if len(queue) > 0 {
			p.queue(s, c, queue)
			c.queue = s.D.Destination
		}
		s.D.Anonymous = s.D.Anonymous || len(queue) == 0
		noWait = a.octet()&(1<<4) != 0
	case queueBind:
		a.short()
		p.queue(s, c, a.shortstr())
		a.shortstr()
		a.shortstr()
		noWait = a.octet()&1 != 0
	case queueUnbind:
		a.short()
		p.queue(s, c, a.shortstr())
	case queuePurge:
		a.short()
		p.queue(s, c, a.shortstr())
		noWait = a.octet()&1 != 0
	case queueDelete:
		a.short()
		p.queue(s, c, a.shortstr())
		noWait = a.octet()&(1<<2) != 0
	case basicConsume:
		a.short()
		p.queue(s, c, a.shortstr())
		tag, bits := a.shortstr(), a.octet()
		s.Flag = bits&(1<<1) != 0
		noWait = bits&(1<<3) != 0
		if len(tag) > 0 {
			c.consume(string(tag), consumer{s.D.Destination, s.Flag})
		}
	case basicCancel:
		a.shortstr()
		noWait = a.octet()&1 != 0
	case channelOpen:
		// What is known of a channel with this number is not of this one.
		p.forget(c)
		c.confirms = confirmsOff
	case confirmSelect:
		if c.confirms != confirmsOn {
			c.confirms, c.next = confirmsOn, 1
			if c.acked > 0 {
				c.confirms = confirmsUncounted // it was on before
			}
		}
		noWait = a.octet()&1 != 0
	case basicRecover:
		p.redeliver(c)
	case connectionClose, channelClose:
		if code := a.short(); code != 200 && code != 0 {
			s.D.Extra = append(s.D.Extra, messagingconv.Attribute{Key: attrReplyCode, Int: int64(code)})
		}
	}
	switch {
	case a.bad:
		p.Host.Stats.Invalid++
		p.Release(s)
	case noWait:
		p.Once(s)
	default:
		p.call(c, s, replyTo(m))
	}
}

// call begins an exchange that reply will end.
func (p *parser) call(c *channel, s *broker.Slot, reply method) {
	s.ID = uint64(reply)
	if p.Adopt(s, orphanReply, c.id, s.ID) {
		return
	}
	p.Begin(s, &c.rpc)
}

// reply finds the call that a method answers. Replies come in the order of the calls.
func (p *parser) reply(c *channel, m method) *broker.Slot {
	s := c.rpc.Find(uint64(m))
	if s == nil {
		p.Orphaned(broker.Orphan{Kind: orphanReply, Channel: c.id, ID: uint64(m)})
		return nil
	}
	for o := c.rpc.Front(); o != s; o = c.rpc.Front() {
		// It was answered unseen.
		p.Host.Stats.Unmatched++
		p.Abandon(o)
	}
	return s
}

func (p *parser) fromBroker(c *channel, m method, dir protocol.Direction, a *arguments) {
	switch m {
	case basicDeliver:
		p.deliver(c, dir, a)
	case basicAck:
		tag, bits := a.longlong(), a.octet()
		p.confirm(c, tag, bits&1 != 0, "")
	case basicNack:
		tag, bits := a.longlong(), a.octet()
		p.confirm(c, tag, bits&1 != 0, "nack")
	case basicGetOk:
		p.getOk(c, dir, a)
	case basicGetEmpty:
		if s := p.reply(c, basicGetOk); s != nil {
			p.Finish(s)
		}
	case basicReturn:
		p.basicReturned(c, dir, a)
	case connectionOpenOk:
		if s := p.connect.Front(); s != nil {
			p.Finish(s)
		}
	case connectionClose:
		p.refuse(c, dir, a, true)
	case channelClose:
		p.refuse(c, dir, a, false)
	case channelCloseOk:
		if s := p.reply(c, m); s != nil {
			p.Finish(s)
		}
		p.closeChannel(c)
	case connectionCloseOk:
		if s := p.reply(c, m); s != nil {
			p.Finish(s)
		}
		p.orderly()
	case queueDeclareOk:
		queue := a.shortstr()
		c.queue = p.Host.Strings.String(queue)
		if s := p.reply(c, m); s != nil {
			if s.D.Destination == "" {
				s.D.Destination = c.queue
			}
			p.Finish(s)
		}
	case basicConsumeOk:
		tag := a.shortstr()
		if s := p.reply(c, m); s != nil {
			c.consume(string(tag), consumer{s.D.Destination, s.Flag})
			p.Finish(s)
		}
	case connectionStart, connectionTune, 10<<16 | 20, 10<<16 | 60, 10<<16 | 61, 20<<16 | 20, basicCancel:
		// The handshake, blocked, unblocked, flow, and cancel by the broker.
	default:
		if s := p.reply(c, m); s != nil {
			p.Finish(s)
		}
	}
}

// refuse acts on the broker's closing of a channel or the connection, which fails what
// waits for it to say something.
func (p *parser) refuse(c *channel, dir protocol.Direction, a *arguments, all bool) {
	code := a.short()
	why := replyCode(code)
	n := 0
	end := func(l *broker.List) {
		for s := l.Front(); s != nil; s = l.Front() {
			s.D.Error = why
			s.D.Extra = append(s.D.Extra, messagingconv.Attribute{Key: attrReplyCode, Int: int64(code)})
			p.Finish(s)
			n++
		}
	}
	if all {
		end(&p.connect)
		for _, c := range p.channels {
			end(&c.rpc)
			end(&c.publishes)
			p.GiveUpAll(&c.deliveries)
		}
	} else {
		end(&c.rpc)
		end(&c.publishes)
		p.GiveUpAll(&c.deliveries)
	}
	if n > 0 {
		return
	}
	s := p.Acquire(dir)
	s.D.Operation = "channel.close"
	if all {
		s.D.Operation = "connection.close"
	}
	s.D.Error = why
	s.D.Extra = append(s.D.Extra, messagingconv.Attribute{Key: attrReplyCode, Int: int64(code)})
	p.Once(s)
}

// redeliver: all messages that are not acknowledged come again.
func (p *parser) redeliver(c *channel) {
	p.GiveUpAll(&c.deliveries)
	c.got = c.got[:0]
}

// orderly gives up what an orderly end of the connection leaves open.
func (p *parser) orderly() {
	for _, c := range p.channels {
		p.forget(c)
	}
}

// forget gives up what a channel's end leaves open.
func (p *parser) forget(c *channel) {
	p.GiveUpAll(&c.rpc)
	p.GiveUpAll(&c.publishes)
	p.GiveUpAll(&c.deliveries)
	for i := range c.content {
		p.drop(&c.content[i])
	}
	clear(c.consumers)
	*c = channel{id: c.id, consumers: c.consumers, got: c.got[:0], confirms: confirmsUnknown}
}

func (p *parser) closeChannel(c *channel) {
	p.forget(c)
	if c.id != 0 {
		delete(p.channels, c.id)
		if p.last == c {
			p.last = nil
		}
		for i := range p.framing {
			if p.framing[i].channel == c {
				p.framing[i].channel = nil
			}
		}
	}
}

func (c *channel) consume(tag string, to consumer) {
	if c.consumers == nil {
		c.consumers = map[string]consumer{}
	}
	if len(c.consumers) < maxConsumers {
		c.consumers[tag] = to
	}
}

// queue names the queue a method is about; without a name it is the one declared last.
func (p *parser) queue(s *broker.Slot, c *channel, name []byte) {
	if len(name) == 0 {
		s.D.Destination = c.queue
		s.D.Anonymous = len(c.queue) > 8 && c.queue[:8] == "amq.gen-"
		return
	}
	s.D.Destination = p.Host.Strings.String(name)
	s.D.Anonymous = generated(name)
}
