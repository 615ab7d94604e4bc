// SPDX-License-Identifier: Apache-2.0

// Package amqp parses AMQP 0-9-1 with RabbitMQ's extensions (publisher confirms,
// basic.nack): https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf and
// https://www.rabbitmq.com/docs/confirms.
//
// What becomes of the methods (messaging.operation.name, messaging.operation.type, from
// when to when):
//
//	connect           from the protocol header to open-ok, or the broker's close
//	publish  send     from the method's first byte to the body's last, or, where the
//	                  channel has publisher confirms, to basic.ack or basic.nack
//	deliver  process  from the method's first byte to ack, nack or reject of its tag
//	deliver  receive  to the body's last byte, for consumers that do not acknowledge
//	get      receive  from basic.get to the body's last byte, or to get-empty
//	ack...   settle   the call itself, for messages that basic.get brought
//	return            the content itself, where no unconfirmed publish is its cause
//	queue.declare...  from the method to its -ok
//
// A message counts in messaging.client.sent.messages when it is published, also if it is
// returned or refused; in messaging.client.consumed.messages when its delivery is
// settled, or was complete where nobody settles, or came with get-ok. The duration of
// deliveries that are acknowledged goes to messaging.process.duration.
//
// error.type is the name of the reply code (NOT_FOUND), NO_ROUTE for returned messages,
// nack and reject for those that a peer did not take. Nothing is said of messages that are
// neither confirmed nor acknowledged when their channel is closed in an orderly way: the
// broker puts them back.
//
// On a channel that was opened before we came it is not known whether confirms are on, nor
// their numbers. There a publish ends with its last byte, until a second without traffic
// on it makes it certain that nothing is outstanding.
package amqp
