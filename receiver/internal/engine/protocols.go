// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/capture"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/amqp"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/cassandra"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/dns"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/fastcgi"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/http1"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/http2"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/kafka"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/memcached"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/mongodb"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/mqtt"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/mysql"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/nats"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/postgresql"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/redis"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/rpcconv"
)

// protocols is the registry: every protocol that is switched on, in the order
// detectors are asked. forget drops what they learn of a service instance.
func protocols(c *config.Config) (all []protocol.Protocol, forget func(instance string), err error) {
	routes, err := c.Routes.Compile()
	if err != nil {
		return nil, nil, err
	}
	kernel := c.Metrics.Kernel
	http, err := c.Protocols.HTTP.Compile(routes, kernel)
	if err != nil {
		return nil, nil, err
	}
	messaging := &messagingconv.Settings{Kernel: kernel}
	p := &c.Protocols
	registry := []struct {
		enabled  bool
		protocol protocol.Protocol
	}{
		{p.HTTP.Enabled, http1.New(http1.Options{Settings: http})},
		{p.HTTP.Enabled || p.GRPC.Enabled, http2.New(http2.Options{Settings: http, RPC: &rpcconv.Settings{Kernel: kernel}, HTTP: p.HTTP.Enabled, GRPC: p.GRPC.Enabled})},
		{p.PostgreSQL.Enabled, postgresql.New(postgresql.Options{Settings: p.PostgreSQL.Compile(kernel)})},
		{p.MySQL.Enabled, mysql.New(mysql.Options{Settings: p.MySQL.Compile(kernel)})},
		{p.Redis.Enabled, redis.New(redis.Options{Settings: p.Redis.Compile(kernel)})},
		{p.MongoDB.Enabled, mongodb.New(mongodb.Options{Settings: p.MongoDB.Compile(kernel)})},
		{p.Kafka.Enabled, kafka.New(kafka.Options{Settings: messaging})},
		{p.Cassandra.Enabled, cassandra.New(cassandra.Options{Settings: p.Cassandra.Compile(kernel)})},
		{p.AMQP.Enabled, amqp.New(amqp.Options{Settings: messaging})},
		{p.NATS.Enabled, nats.New(nats.Options{Settings: messaging})},
		{p.MQTT.Enabled, mqtt.New(mqtt.Options{Settings: messaging})},
		{p.FastCGI.Enabled, fastcgi.New(fastcgi.Options{Settings: http})},
		{p.DNS.Enabled, dns.New(dns.Options{Kernel: kernel})},
		{p.Memcached.Enabled, memcached.New(memcached.Options{Settings: p.Memcached.Compile(kernel)})},
	}
	for _, entry := range registry {
		if entry.enabled {
			all = append(all, entry.protocol)
		}
	}
	return all, http.Forget, nil
}

// beginnings are those of all protocols, for the kernel.
func beginnings(all []protocol.Protocol) (list []capture.Beginning) {
	for _, p := range all {
		b, ok := p.(protocol.Beginner)
		if !ok {
			continue
		}
		for _, from := range b.Beginnings() {
			to := capture.Beginning{Framed: from.Framed, Skip: from.Skip}
			copy(to.Bytes[:], from.Bytes)
			for i := range len(from.Bytes) {
				if from.Mask == "" || from.Mask[i] != 0 {
					to.Mask[i] = 0xff
				}
			}
			list = append(list, to)
		}
	}
	return list
}
