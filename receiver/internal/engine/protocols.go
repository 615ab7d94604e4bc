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
// detectors are asked. forget drops what they learn of a service instance. Answers of
// name servers go to p.
func protocols(c *config.Config, p *peers) (all []protocol.Protocol, forget func(instance string), err error) {
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
	lookups := dns.Options{Kernel: kernel}
	if p.names != nil {
		lookups.Answered = p.answered
	}
	o := &c.Protocols
	registry := []struct {
		enabled  bool
		protocol protocol.Protocol
	}{
		{o.HTTP.Enabled, http1.New(http1.Options{Settings: http})},
		{o.HTTP.Enabled || o.GRPC.Enabled, http2.New(http2.Options{Settings: http, RPC: &rpcconv.Settings{Kernel: kernel}, HTTP: o.HTTP.Enabled, GRPC: o.GRPC.Enabled})},
		{o.PostgreSQL.Enabled, postgresql.New(postgresql.Options{Settings: o.PostgreSQL.Compile(kernel)})},
		{o.MySQL.Enabled, mysql.New(mysql.Options{Settings: o.MySQL.Compile(kernel)})},
		{o.Redis.Enabled, redis.New(redis.Options{Settings: o.Redis.Compile(kernel)})},
		{o.MongoDB.Enabled, mongodb.New(mongodb.Options{Settings: o.MongoDB.Compile(kernel)})},
		{o.Kafka.Enabled, kafka.New(kafka.Options{Settings: messaging})},
		{o.Cassandra.Enabled, cassandra.New(cassandra.Options{Settings: o.Cassandra.Compile(kernel)})},
		{o.AMQP.Enabled, amqp.New(amqp.Options{Settings: messaging})},
		{o.NATS.Enabled, nats.New(nats.Options{Settings: messaging})},
		{o.MQTT.Enabled, mqtt.New(mqtt.Options{Settings: messaging})},
		{o.FastCGI.Enabled, fastcgi.New(fastcgi.Options{Settings: http})},
		{o.DNS.Enabled, dns.New(lookups)},
		{o.Memcached.Enabled, memcached.New(memcached.Options{Settings: o.Memcached.Compile(kernel)})},
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
			to := capture.Beginning{Framed: from.Framed, Skip: from.Skip, Values: from.Values}
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
