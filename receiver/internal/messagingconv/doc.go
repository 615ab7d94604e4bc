// SPDX-License-Identifier: Apache-2.0

// Package messagingconv maps operations of messaging systems to spans and metrics as
// the semantic conventions v1.43.0 have them (docs/messaging/messaging-spans.md,
// messaging-metrics.md).
//
// The conventions know producers and consumers only. The spans of brokers have the
// same attributes and kind SERVER, and their durations go into
// ebpf.messaging.server.operation.duration.
package messagingconv
