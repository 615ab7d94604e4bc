// SPDX-License-Identifier: Apache-2.0

package nats

import (
	"bytes"
	"hash/maphash"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/broker"
)

const (
	ackPrefix = "$JS.ACK."
	apiPrefix = "$JS.API."
	pull      = "CONSUMER.MSG.NEXT."
	inbox     = "_INBOX."
)

const (
	orphanReply uint8 = 1 + iota
	orphanAnswer
)

// published reads what a client publishes.
func (p *parser) published(dir protocol.Direction, m *message, header, payload []byte) {
	if s := p.find(&p.deliveries, m.subject); s != nil {
		// A reply, or an acknowledgement: the end of a delivery.
		switch {
		case bytes.HasPrefix(payload, []byte("-NAK")):
			s.D.Error = "nak"
		case bytes.HasPrefix(payload, []byte("+TERM")):
			s.D.Error = "term"
		case bytes.HasPrefix(payload, []byte("+WPI")) && bytes.HasPrefix(m.subject, []byte(ackPrefix)):
			// It goes on.
			p.waits(broker.Ref{})
			m.slot = broker.Ref{}
			return
		}
		m.slot, m.act = s.Ref(), finish
		p.waits(broker.Ref{})
		return
	}
	if bytes.HasPrefix(m.subject, []byte(ackPrefix)) {
		// Of a message that was not seen, or settled already.
		p.orphan(orphanAnswer, m.subject, "")
		m.slot = broker.Ref{}
		p.waits(broker.Ref{})
		return
	}
	s := p.Acquire(dir)
	d := &s.D
	d.Operation, d.Type, d.Messages = "publish", messagingconv.Send, 1
	p.subject(s, m.subject)
	d.Body = int64(m.total - m.header)
	p.contexts(s, header)
	m.slot, m.act = s.Ref(), once
	if len(m.reply) == 0 || !p.own(m.reply) {
		if p.verbose {
			m.act = complete
			s.Text = ""
			p.waits(s.Ref())
			p.Begin(s, &p.connect)
		}
		return
	}
	p.waits(broker.Ref{})
	d.Operation = "request"
	if rest, ok := bytes.CutPrefix(m.subject, []byte(apiPrefix)); ok {
		p.api(s, rest)
	}
	s.ID, s.Text = hash(m.reply), p.Host.Strings.String(m.reply)
	s.Receipt, s.Complete = true, p.S.Time
	s.Name, s.Type = "publish", messagingconv.Send
	if d.Type != messagingconv.Send {
		s.Name, s.Type = d.Operation, d.Type
	}
	if p.Adopt(s, orphanReply, 0, s.ID) {
		m.slot, m.act = broker.Ref{}, nothing
		return
	}
	m.act = complete
	p.Begin(s, &p.requests)
}

// api names a request of JetStream's API by its own name, and what it is about:
// $JS.API.STREAM.INFO.orders, $JS.API.CONSUMER.MSG.NEXT.orders.shipping.
func (p *parser) api(s *broker.Slot, rest []byte) {
	d := &s.D
	d.Type, d.Messages = messagingconv.None, -1
	d.Temporary = false
	n := 0
	// The name is in capitals.
	for n < len(rest) {
		end := bytes.IndexByte(rest[n:], '.')
		if end < 0 {
			end = len(rest) - n
		}
		if !capitals(rest[n : n+end]) {
			break
		}
		n += end
		if n < len(rest) {
			n++
		}
	}
	if bytes.HasPrefix(rest, []byte(pull)) {
		n = len(pull)
		d.Type, d.Messages = messagingconv.Receive, 0
		d.Operation = "fetch"
	} else {
		d.Operation = p.Host.Strings.String(bytes.TrimSuffix(rest[:n], []byte(".")))
	}
	target, consumer, _ := bytes.Cut(rest[n:], []byte("."))
	d.Destination = p.Host.Strings.String(target)
	d.Subscription = p.Host.Strings.String(consumer)
}

func capitals(b []byte) bool {
	for _, c := range b {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return len(b) > 0
}

// delivered reads what a server delivers.
func (p *parser) delivered(dir protocol.Direction, m *message, header, payload []byte) {
	from, found := p.subscription(m.sid)
	if s := p.find(&p.requests, m.subject); s != nil {
		p.replied(s, m, header, payload)
		return
	}
	if found && strings.HasPrefix(from.subject, inbox) && bytes.HasPrefix(m.reply, []byte(ackPrefix)) {
		// Messages that were asked for come under their own subjects: the first of them
		// ends the fetch, and all are deliveries.
		for s := p.requests.Front(); s != nil; s = s.Next() {
			if s.D.Type == messagingconv.Receive && containsText(from.subject, s.Text) {
				p.Finish(s)
				break
			}
		}
	}
	if len(m.reply) == 0 && bytes.HasPrefix(m.subject, []byte(inbox)) {
		// A reply whose request is not known yet, or a further one, or a status for a fetch
		// that is over.
		m.slot = broker.Ref{}
		p.orphan(orphanReply, m.subject, statusError(header))
		return
	}
	s := p.Acquire(dir)
	d := &s.D
	d.Operation, d.Type, d.Messages = "deliver", messagingconv.Receive, 1
	p.subject(s, m.subject)
	d.Group = from.queue
	d.Body = int64(m.total - m.header)
	p.contexts(s, header)
	m.slot, m.act = s.Ref(), once
	if len(m.reply) == 0 {
		return
	}
	d.Type = messagingconv.Process
	if rest, ok := bytes.CutPrefix(m.reply, []byte(ackPrefix)); ok {
		// $JS.ACK.<stream>.<consumer>.…; of later servers domain and account stand before
		// the stream.
		var f [12][]byte
		n := 0
		for ; n < len(f) && len(rest) > 0; n++ {
			f[n], rest, _ = bytes.Cut(rest, []byte("."))
		}
		at := 0
		if n >= 9 {
			at = 2
		}
		if n >= 7 {
			d.Subscription = p.Host.Strings.String(f[at+1])
		}
	}
	s.ID, s.Text = hash(m.reply), p.Host.Strings.String(m.reply)
	s.Receipt, s.Complete = true, p.S.Time
	s.Name, s.Type = "deliver", messagingconv.Receive
	if p.Adopt(s, orphanAnswer, 0, s.ID) {
		m.slot, m.act = broker.Ref{}, nothing
		return
	}
	m.act = complete
	p.Begin(s, &p.deliveries)
}

// replied ends a request by its reply, of which this is the beginning.
func (p *parser) replied(s *broker.Slot, m *message, header, payload []byte) {
	if why := statusError(header); why != "" {
		s.D.Error = why
	}
	switch {
	case s.D.Type == messagingconv.Receive:
		if s.D.Error == "404" || s.D.Error == "408" || s.D.Error == "100" {
			s.D.Error = "" // nothing there, in the time that was given
		}
	case s.D.Type == messagingconv.Send && bytes.HasPrefix(payload, []byte(`{"stream":`)):
		s.D.Operation = "publish"
	case bytes.HasPrefix(payload, []byte(`{"error":{"code":`)):
		code := payload[len(`{"error":{"code":`):]
		n := 0
		for n < len(code) && code[n] >= '0' && code[n] <= '9' {
			n++
		}
		s.D.Error = p.Host.Strings.String(code[:n])
		if s.D.Type == messagingconv.Send {
			s.D.Operation = "publish"
		}
	}
	m.slot, m.act = s.Ref(), finish
}

// statusError is error.type of a message that is nothing but a status: 503 says that nobody
// listens.
func statusError(header []byte) string {
	if len(header) == 0 {
		return ""
	}
	switch status := headers(header, func(_, _ []byte) {}); status {
	case 0, 100, 200:
		return ""
	case 404:
		return "404"
	case 408:
		return "408"
	case 409:
		return "409"
	case 503:
		return "503"
	default:
		return "_OTHER"
	}
}

// own reports whether a subject is one that this connection listens to.
func (p *parser) own(reply []byte) bool {
	if p.inbox != "" && contains(p.inbox, reply) {
		return true
	}
	if !p.complete && bytes.HasPrefix(reply, []byte(inbox)) {
		return true // subscribed before we came, perhaps
	}
	for _, s := range p.subscriptions {
		if contains(s.subject, reply) {
			p.inbox = s.subject
			return true
		}
	}
	return false
}

func containsText(pattern, subject string) bool { return contains(pattern, []byte(subject)) }

// subscription finds that of a message, and counts the message where they are limited.
func (p *parser) subscription(sid []byte) (s subscription, found bool) {
	s, found = p.subscriptions[string(sid)]
	if s.limit > 0 {
		if s.limit--; s.limit == 0 {
			delete(p.subscriptions, string(sid))
		} else {
			p.subscriptions[string(sid)] = s
		}
	}
	return s, found
}

func hash(b []byte) uint64 { return maphash.Bytes(seed, b) }

// find looks for what waits for a message with a subject.
func (p *parser) find(l *broker.List, subject []byte) *broker.Slot {
	if l.Len() == 0 {
		return nil
	}
	h := hash(subject)
	for s := l.Front(); s != nil; s = s.Next() {
		if s.ID == h && s.Text == string(subject) {
			return s
		}
	}
	return nil
}

func (p *parser) orphan(kind uint8, subject []byte, why string) {
	p.Orphaned(broker.Orphan{Kind: kind, ID: hash(subject), Text: p.Host.Strings.String(subject), Error: why})
}

// subject names the destination. Subjects to reply to are temporary.
func (p *parser) subject(s *broker.Slot, subject []byte) {
	s.D.Temporary = bytes.HasPrefix(subject, []byte(inbox)) || bytes.HasPrefix(subject, []byte("_R_."))
	s.D.Destination = p.Host.Strings.String(subject)
}

// contexts reads the headers of a message.
func (p *parser) contexts(s *broker.Slot, header []byte) {
	if len(header) == 0 {
		return
	}
	var parent, state []byte
	headers(header, func(name, value []byte) {
		switch {
		case bytes.EqualFold(name, []byte("traceparent")):
			parent = value
		case bytes.EqualFold(name, []byte("tracestate")):
			state = value
		case bytes.EqualFold(name, []byte("Nats-Msg-Id")):
			s.D.Message = p.Host.Strings.String(value)
		}
	})
	s.Context(parent, state)
}

// control acts on a line without a payload.
func (p *parser) control(dir protocol.Direction, l *line) {
	switch l.op {
	case opConnect:
		s := p.Acquire(dir)
		s.D.Operation = "connect"
		s.Flag = true
		p.verbose = verbose(l.rest)
		p.complete = true
		p.waits(s.Ref())
		p.Begin(s, &p.connect)
	case opSub:
		if len(p.subscriptions) < maxSubscriptions {
			p.subscriptions[string(l.sid)] = subscription{subject: p.Host.Strings.String(l.subject), queue: p.Host.Strings.String(l.queue)}
		}
		p.waits(broker.Ref{})
	case opUnsub:
		if s, found := p.subscriptions[string(l.sid)]; found {
			if s.limit = l.total; s.limit == 0 {
				delete(p.subscriptions, string(l.sid))
				if p.inbox == s.subject {
					p.inbox = ""
				}
			} else {
				p.subscriptions[string(l.sid)] = s
			}
		}
		p.waits(broker.Ref{})
	case opPong:
		if dir != p.Requests {
			if s := p.connect.Front(); s != nil && s.Flag {
				p.Finish(s)
			}
		}
	case opOK:
		if s := p.answered(); s != nil {
			p.Finish(s)
		}
	case opErr:
		p.failed(dir, bytes.Trim(l.rest, "' "))
	}
}

// failed acts on -ERR 'reason', where reason may end with a subject in quotes.
func (p *parser) failed(dir protocol.Direction, reason []byte) {
	if len(reason) == 0 {
		return
	}
	what, about, _ := bytes.Cut(reason, []byte(` to "`))
	why := p.Host.Strings.String(what)
	s := p.answered()
	if s == nil {
		if s = p.connect.Front(); s != nil && !s.Flag {
			s = nil
		}
	}
	if s != nil {
		s.D.Error = why
		p.Finish(s)
		return
	}
	subject, _, _ := bytes.Cut(about, []byte(`"`))
	for s = p.requests.Front(); s != nil && len(subject) > 0; s = s.Next() {
		if s.D.Destination == string(subject) {
			s.D.Error = why
			p.Finish(s)
			return
		}
	}
	s = p.Acquire(dir)
	s.D.Operation = "error"
	s.D.Error = why
	p.subject(s, subject)
	p.Once(s)
}

// verbose looks for the option in CONNECT's JSON.
func verbose(b []byte) bool {
	i := bytes.Index(b, []byte(`"verbose":`))
	return i >= 0 && bytes.HasPrefix(bytes.TrimLeft(b[i+len(`"verbose":`):], " "), []byte("true"))
}

// waits notes what the next +OK or -ERR is about.
func (p *parser) waits(r broker.Ref) {
	if !p.verbose {
		return
	}
	if p.queue == len(p.waiting) {
		// Too many: those that wait are reported with their own end.
		p.first, p.queue = 0, 0
		p.verbose = false
		return
	}
	p.waiting[(p.first+p.queue)%len(p.waiting)] = r
	p.queue++
}

// answered takes the oldest of them.
func (p *parser) answered() *broker.Slot {
	if p.queue == 0 {
		return nil
	}
	r := p.waiting[p.first]
	p.first = (p.first + 1) % len(p.waiting)
	p.queue--
	return r.Get()
}
