// SPDX-License-Identifier: Apache-2.0

// Package dbconv maps operations of databases to spans and metrics as the semantic
// conventions v1.43.0 have them (docs/db/database-spans.md, database-metrics.md).
//
// The conventions know clients only. A server's spans have the same attributes, and
// its durations go into ebpf.db.server.operation.duration.
package dbconv
