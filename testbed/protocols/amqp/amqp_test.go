// SPDX-License-Identifier: Apache-2.0

// Package amqp is the ground truth of AMQP 0-9-1: RabbitMQ, amqp091-go and pika.
package amqp

import (
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols/brokers"
)

func TestGroundTruth(t *testing.T) {
	for _, hooks := range protocols.Backends {
		t.Run(hooks, func(t *testing.T) {
			groundtruth.Requirements(t, "/usr/lib/rabbitmq/bin/rabbitmq-server", "epmd")
			brokers.Build(t)
			address, pid := brokers.RabbitMQ(t)
			clients := map[string]*brokers.Process{"pika": brokers.Python(t, "amqp", address)}
			if hooks == protocols.Backends[0] {
				clients["amqp091"] = brokers.Go(t, "amqp", address)
			}
			brokers.Run(t, hooks, address, pid, clients, func(s *groundtruth.Span) bool {
				// What libraries do when they close.
				return s.Name == "channel.close" || s.Name == "connection.close"
			})
		})
	}
}
