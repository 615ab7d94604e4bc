// SPDX-License-Identifier: Apache-2.0

// Package red aggregates exchanges into metrics: rate, errors and duration, as
// histograms, and requests in flight, per service instance.
//
// In: the begin and the end of every exchange (not only those that are
// sampled), from several reader goroutines. Out: pmetric.Metrics, at each
// collection. It must never know about a particular protocol (instruments,
// attributes and values come from exchange.Detail), about how spans are
// sampled (it is told), or about where the metrics go.
//
// # How it works
//
// Each reader goroutine has a Shard: what ended since the last collection,
// under a mutex that only a collection contends for. A collection drains the
// shards into the series of the Aggregator, which hold the totals: a series
// that was fed by several shards is one point. A shard asks the Aggregator
// only when it meets an attribute set for the first time.
//
// Memory is bounded by a number of series per instance, protocol and role;
// what exceeds it is counted in a series of its own, so that totals stay
// right. Instances are dropped when they are forgotten, or idle for long.
package red
