// SPDX-License-Identifier: Apache-2.0

// Package mqtt parses MQTT 3.1.1 and 5.0 (https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/,
// https://docs.oasis-open.org/mqtt/mqtt/v5.0/), and 3.1 as far as it is the same.
//
// What becomes of the packets (messaging.operation.name, messaging.operation.type, from
// when to when):
//
//	connect              CONNECT to CONNACK
//	publish      send     PUBLISH of the client; QoS 0: from the first byte to the last;
//	                      QoS 1: to PUBACK; QoS 2: to PUBCOMP, or a PUBREC that refuses
//	deliver      receive  PUBLISH of the broker with QoS 0: from the first byte to the last
//	deliver      process  with QoS 1 and 2: to the client's PUBACK or PUBCOMP
//	subscribe             SUBSCRIBE to SUBACK
//	unsubscribe           UNSUBSCRIBE to UNSUBACK
//	disconnect            a DISCONNECT of the broker, which is an error
//
// Every PUBLISH of the client counts in messaging.client.sent.messages, every one of the
// broker in messaging.client.consumed.messages, but repetitions (DUP) while the first one is
// in flight. Processing goes to messaging.process.duration. When a client acknowledges is
// its library's choice: most do when the application's callback has returned, some before.
//
// error.type is the reason code's name of MQTT 5, or what corresponds to 3.1.1's.
package mqtt
