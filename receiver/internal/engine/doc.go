// SPDX-License-Identifier: Apache-2.0

// Package engine puts the rooms together: probes, one reader per ring with its
// tracker, span builder and metrics shard, process selection, and the clock
// that sends it all off.
//
// In: a configuration. Out: pdata, handed to functions that never block. It
// knows no protocol but their registry, and nothing of the Collector's
// lifecycle.
package engine
