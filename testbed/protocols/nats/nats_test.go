// SPDX-License-Identifier: Apache-2.0

// Package nats is the ground truth of NATS: nats-server with JetStream, nats.go and nats-py.
package nats

import (
	"strings"
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols/brokers"
)

func TestGroundTruth(t *testing.T) {
	for _, hooks := range protocols.Backends {
		t.Run(hooks, func(t *testing.T) {
			groundtruth.Requirements(t, "/usr/sbin/nats-server")
			brokers.Build(t)
			address, pid := brokers.NATS(t)
			clients := map[string]*brokers.Process{"nats-py": brokers.Python(t, "nats", address)}
			if hooks == protocols.Backends[0] {
				clients["nats.go"] = brokers.Go(t, "nats", address)
			}
			brokers.Run(t, hooks, address, pid, clients, func(s *groundtruth.Span) bool {
				// What libraries ask JetStream for by themselves.
				return strings.HasPrefix(s.Name, "CONSUMER.") || strings.HasPrefix(s.Name, "STREAM.") || strings.HasPrefix(s.Name, "fetch ") || s.Name == "INFO"
			})
		})
	}
}
