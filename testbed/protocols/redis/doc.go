// SPDX-License-Identifier: Apache-2.0

// Package redis compares what the collector reports of Redis with what go-redis, redis-py,
// ioredis, node-redis, redis-cli and redis-benchmark did.
package redis
