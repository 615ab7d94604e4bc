// SPDX-License-Identifier: Apache-2.0

// Package nats parses the client protocol of NATS
// (https://docs.nats.io/reference/reference-protocols/nats-protocol), headers and JetStream
// included.
//
// What becomes of the messages (messaging.operation.name, messaging.operation.type, from
// when to when):
//
//	connect           from CONNECT to the PONG, +OK or -ERR behind it
//	publish  send     PUB and HPUB: from the first byte to the last, in verbose mode to +OK;
//	                  to JetStream's answer, where one is asked for
//	request  send     PUB with an inbox of the same connection to reply to: to the reply's
//	                  last byte; 503 (nobody listens) is an error
//	fetch    receive  a pull from a JetStream consumer: to the first message, or status
//	STREAM.INFO...    a request of JetStream's API ($JS.API.…): to the reply's last byte
//	deliver  receive  MSG and HMSG: from the first byte to the last
//	deliver  process  those that ask for a reply, or JetStream's to be acknowledged: until
//	                  the PUB of reply or acknowledgement
//	error             an -ERR that nothing in flight explains
//
// A reply, and an acknowledgement ($JS.ACK.…), are the end of another exchange and none of
// their own. A request that is never answered was a publish; a delivery that is never
// answered is reported, a minute later or at the connection's end, as it would be had it not
// asked. What the request asked for decides, not the subject: messages that want a reply
// and are answered on another connection count as not answered.
//
// Requests are CLIENT spans, and replying to them SERVER ones, since the two wait for
// each other. Every PUB but replies and acknowledgements counts in
// messaging.client.sent.messages, every MSG but the replies to requests in
// messaging.client.consumed.messages; processing goes to messaging.process.duration.
//
// The names of inboxes are temporary destinations.
package nats
