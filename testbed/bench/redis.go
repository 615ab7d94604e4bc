// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// redisPipelines are the depths of the scenarios redis and redis16.
var redisPipelines = map[string]int{"redis": 1, "redis16": 16}

// startRedis runs a redis-server of its own, for redis-benchmark.
func (b *bench) startRedis() error {
	for _, name := range []string{"redis-server", "redis-benchmark"} {
		if err := copyTool(name, b.dir); err != nil {
			return err
		}
	}
	port, err := groundtruth.FreePort()
	if err != nil {
		return err
	}
	b.redisPort = strconv.Itoa(port)
	b.redis, err = groundtruth.Start(b.dir, tool(b.dir, "redis-server"), "--bind", "127.0.0.1", "--port", b.redisPort, "--save", "", "--dir", b.dir)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", "127.0.0.1:"+b.redisPort)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("redis-server does not listen: %w", err)
		}
	}
}

// redisLoad runs redis-benchmark; it counts requests, not time.
func (b *bench) redisLoad(pipeline int) func(ctx context.Context) (load, error) {
	requests := max(20000, int(b.o.duration.Seconds()*50000))
	if pipeline > 1 {
		requests *= 4
	}
	return func(ctx context.Context) (load, error) {
		out, err := exec.CommandContext(ctx, tool(b.dir, "redis-benchmark"), "-p", b.redisPort, "-P", strconv.Itoa(pipeline), "-c", strconv.Itoa(connections),
			"-n", strconv.Itoa(requests), "-t", "get", "--csv").CombinedOutput()
		if err != nil {
			return load{}, fmt.Errorf("redis-benchmark: %w\n%s", err, out)
		}
		// "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
		rows, err := csv.NewReader(strings.NewReader(string(out))).ReadAll()
		if err != nil || len(rows) < 2 || len(rows[1]) < 8 {
			return load{}, fmt.Errorf("redis-benchmark said %q", out)
		}
		l := load{requests: requests}
		for i, to := range map[int]*float64{4: &l.p50, 6: &l.p99} {
			if *to, err = strconv.ParseFloat(rows[1][i], 64); err != nil {
				return load{}, fmt.Errorf("redis-benchmark said %q: %w", rows[1], err)
			}
			*to *= 1000
		}
		return l, nil
	}
}
