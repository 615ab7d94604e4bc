// SPDX-License-Identifier: Apache-2.0

// Package groundtruth compares what the collector reports with what really
// happened.
//
// Workloads make HTTP traffic in which every request has an id of its own in
// its path, /case/NAME/ID, and write down what they did: one Record per request
// and side. A Collector under test observes them and exports to a Sink, an
// OTLP/gRPC server inside the test process. Check pairs spans with records and
// counts everything that is not exactly right.
//
// In: processes, spans, metrics. Out: a Report. It knows the semantic
// conventions and the wire, and must never use the receiver's own packages: it
// is the second opinion.
package groundtruth
