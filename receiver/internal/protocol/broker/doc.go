// SPDX-License-Identifier: Apache-2.0

// Package broker is what the parsers of AMQP, NATS and MQTT share: protocols in which
// both ends of a connection send messages whenever they like, and most messages are
// settled later by a number or a name, or never.
//
// In: origins of messages and what settles them. Out: exchanges. It must never know
// the bytes of any protocol.
//
// What becomes of a message is the same for all three:
//
//   - A message that nothing answers (published without confirmation, delivered without
//     acknowledgement) is an exchange of itself: from its first byte to its last.
//   - One that is confirmed or answered lasts until then.
//   - One that is delivered and acknowledged lasts until the acknowledgement: the time
//     the consumer took, with what the message waited in the consumer's memory.
package broker
