// SPDX-License-Identifier: Apache-2.0

// Package brokertest is what the tests of the parsers of AMQP, NATS and MQTT share: a sink
// that writes down what it is told, conversations that can be cut into segments in any
// way, and the beginnings of protocols that no detector but its own may accept.
package brokertest
