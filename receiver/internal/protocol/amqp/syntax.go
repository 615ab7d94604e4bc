// SPDX-License-Identifier: Apache-2.0

package amqp

import "encoding/binary"

// Frame types (chapter 2.3.5 and 4.2.3), and the octet that ends a frame.
const (
	frameMethod    = 1
	frameHeader    = 2
	frameBody      = 3
	frameHeartbeat = 8
	frameEnd       = 0xce
	// headSize is type, channel and size; every frame is headSize+size+1 long.
	headSize = 7
)

// method is a class id and a method id.
type method uint32

const (
	connectionStart    method = 10<<16 | 10
	connectionStartOk  method = 10<<16 | 11
	connectionTune     method = 10<<16 | 30
	connectionTuneOk   method = 10<<16 | 31
	connectionOpen     method = 10<<16 | 40
	connectionOpenOk   method = 10<<16 | 41
	connectionClose    method = 10<<16 | 50
	connectionCloseOk  method = 10<<16 | 51
	channelOpen        method = 20<<16 | 10
	channelOpenOk      method = 20<<16 | 11
	channelClose       method = 20<<16 | 40
	channelCloseOk     method = 20<<16 | 41
	exchangeDeclare    method = 40<<16 | 10
	exchangeDelete     method = 40<<16 | 20
	exchangeBind       method = 40<<16 | 30
	exchangeUnbind     method = 40<<16 | 40
	exchangeUnbindOk   method = 40<<16 | 51
	queueDeclare       method = 50<<16 | 10
	queueDeclareOk     method = 50<<16 | 11
	queueBind          method = 50<<16 | 20
	queuePurge         method = 50<<16 | 30
	queueDelete        method = 50<<16 | 40
	queueUnbind        method = 50<<16 | 50
	basicQos           method = 60<<16 | 10
	basicConsume       method = 60<<16 | 20
	basicConsumeOk     method = 60<<16 | 21
	basicCancel        method = 60<<16 | 30
	basicPublish       method = 60<<16 | 40
	basicReturn        method = 60<<16 | 50
	basicDeliver       method = 60<<16 | 60
	basicGet           method = 60<<16 | 70
	basicGetOk         method = 60<<16 | 71
	basicGetEmpty      method = 60<<16 | 72
	basicAck           method = 60<<16 | 80
	basicReject        method = 60<<16 | 90
	basicRecoverAsync  method = 60<<16 | 100
	basicRecover       method = 60<<16 | 110
	basicNack          method = 60<<16 | 120
	confirmSelect      method = 85<<16 | 10
	transactionSelect  method = 90<<16 | 10
	transactionCommit  method = 90<<16 | 20
	transactionRolback method = 90<<16 | 30
)

// calls are the methods of clients that are answered by one of the same class with the
// next id, but for exchange.unbind: what they are called.
var calls = map[method]string{
	connectionClose: "connection.close", 10<<16 | 70: "connection.update-secret",
	channelOpen: "channel.open", 20<<16 | 20: "channel.flow", channelClose: "channel.close",
	exchangeDeclare: "exchange.declare", exchangeDelete: "exchange.delete",
	exchangeBind: "exchange.bind", exchangeUnbind: "exchange.unbind",
	queueDeclare: "queue.declare", queueBind: "queue.bind", queuePurge: "queue.purge",
	queueDelete: "queue.delete", queueUnbind: "queue.unbind",
	basicQos: "basic.qos", basicConsume: "basic.consume", basicCancel: "basic.cancel",
	basicRecover: "basic.recover", confirmSelect: "confirm.select",
	transactionSelect: "tx.select", transactionCommit: "tx.commit", transactionRolback: "tx.rollback",
}

// replyTo is the method that answers a call.
func replyTo(m method) method {
	if m == exchangeUnbind {
		return exchangeUnbindOk
	}
	return m + 1
}

// known reports whether there is such a method, as far as a detector has to know.
func known(m method) bool {
	class, id := m>>16, m&0xffff
	switch class {
	case 10:
		return id >= 10 && id <= 71
	case 20, 40, 50, 90:
		return id >= 10 && id <= 51
	case 60:
		return id >= 10 && id <= 120
	case 85:
		return id == 10 || id == 11
	}
	return false
}

// replyCodes are the constants of chapter 1.2 that say why something was refused.
var replyCodes = map[uint16]string{
	311: "CONTENT_TOO_LARGE", 312: "NO_ROUTE", 313: "NO_CONSUMERS", 320: "CONNECTION_FORCED",
	402: "INVALID_PATH", 403: "ACCESS_REFUSED", 404: "NOT_FOUND", 405: "RESOURCE_LOCKED",
	406: "PRECONDITION_FAILED", 501: "FRAME_ERROR", 502: "SYNTAX_ERROR", 503: "COMMAND_INVALID",
	504: "CHANNEL_ERROR", 505: "UNEXPECTED_FRAME", 506: "RESOURCE_ERROR", 530: "NOT_ALLOWED",
	540: "NOT_IMPLEMENTED", 541: "INTERNAL_ERROR",
}

// replyCode is error.type for a code.
func replyCode(code uint16) string {
	if name, ok := replyCodes[code]; ok {
		return name
	}
	return "_OTHER"
}

// arguments reads the fields of a method, or the properties of a content. After a field
// that is not there, bad is set and all further ones are zero.
type arguments struct {
	b   []byte
	bad bool
}

func (a *arguments) take(n int) []byte {
	if a.bad || n > len(a.b) {
		a.bad = true
		return nil
	}
	v := a.b[:n]
	a.b = a.b[n:]
	return v
}

func (a *arguments) octet() byte {
	if v := a.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (a *arguments) short() uint16 {
	if v := a.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (a *arguments) long() uint32 {
	if v := a.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (a *arguments) longlong() uint64 {
	if v := a.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (a *arguments) shortstr() []byte { return a.take(int(a.octet())) }

func (a *arguments) longstr() []byte {
	n := a.long()
	if uint64(n) > uint64(len(a.b)) {
		a.bad = true
		return nil
	}
	return a.take(int(n))
}

// field passes over a table's value; of strings it returns the bytes. The types are those
// RabbitMQ uses (https://www.rabbitmq.com/amqp-0-9-1-errata, section 3).
func (a *arguments) field() []byte {
	switch kind := a.octet(); kind {
	case 't', 'b', 'B':
		a.take(1)
	case 's', 'u':
		a.take(2)
	case 'I', 'i', 'f':
		a.take(4)
	case 'D':
		a.take(5)
	case 'l', 'L', 'd', 'T':
		a.take(8)
	case 'S', 'x':
		v := a.longstr()
		if kind == 'S' {
			return v
		}
	case 'A', 'F':
		a.longstr()
	case 'V':
	default:
		a.bad = true
	}
	return nil
}

// properties are what is of interest of a content header (chapter 4.2.6.1).
type properties struct {
	traceparent, tracestate []byte
	correlation, message    []byte
}

// parseProperties reads the property list of class basic behind its flags.
func parseProperties(flags uint16, a *arguments) (p properties) {
	has := func(bit int) bool { return flags>>bit&1 != 0 }
	if has(15) { // content-type
		a.shortstr()
	}
	if has(14) { // content-encoding
		a.shortstr()
	}
	if has(13) { // headers
		table := arguments{b: a.longstr()}
		for len(table.b) > 0 && !table.bad {
			name := table.shortstr()
			v := table.field()
			if table.bad {
				break
			}
			switch string(name) {
			case "traceparent":
				p.traceparent = v
			case "tracestate":
				p.tracestate = v
			}
		}
	}
	if has(12) { // delivery-mode
		a.octet()
	}
	if has(11) { // priority
		a.octet()
	}
	if has(10) {
		p.correlation = a.shortstr()
	}
	if has(9) { // reply-to
		a.shortstr()
	}
	if has(8) { // expiration
		a.shortstr()
	}
	if has(7) {
		p.message = a.shortstr()
	}
	return p
}
