// SPDX-License-Identifier: Apache-2.0

// Package spans turns finished exchanges into OTLP spans, batched by the
// process they belong to.
//
// In: exchanges, with monotonic times, from one reader goroutine. Out:
// ptrace.Traces with wall-clock times. It samples, because what is dropped
// should cost nothing. It must never know about a particular protocol (names
// and attributes come from exchange.Detail), about metrics, or about where the
// batches go.
package spans
