// SPDX-License-Identifier: Apache-2.0

// Package sampling decides at its head whether a trace is kept, the way the
// OpenTelemetry Go SDK decides it, so that a trace that passes through both is
// kept whole or dropped whole.
//
// In: a trace id and what the request said about its parent. Out: yes or no.
// It must never know about protocols, pdata batches or metrics: metrics count
// every exchange, whatever is decided here.
package sampling
