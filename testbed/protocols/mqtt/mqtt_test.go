// SPDX-License-Identifier: Apache-2.0

// Package mqtt is the ground truth of MQTT 3.1.1 and 5.0: Mosquitto, both Eclipse Paho
// libraries for Go, and the one for Python.
package mqtt

import (
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols/brokers"
)

func TestGroundTruth(t *testing.T) {
	for _, hooks := range protocols.Backends {
		t.Run(hooks, func(t *testing.T) {
			groundtruth.Requirements(t, "/usr/sbin/mosquitto")
			brokers.Build(t)
			address, pid := brokers.Mosquitto(t)
			clients := map[string]*brokers.Process{"paho.py": brokers.Python(t, "mqtt", address)}
			if hooks == protocols.Backends[0] {
				clients["paho.go"] = brokers.Go(t, "mqtt", address)
				clients["paho5.go"] = brokers.Go(t, "mqtt5", address)
			}
			brokers.Run(t, hooks, address, pid, clients, func(*groundtruth.Span) bool { return false })
		})
	}
}
