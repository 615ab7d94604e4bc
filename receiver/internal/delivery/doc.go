// SPDX-License-Identifier: Apache-2.0

// Package delivery stands between the engine, which must never wait, and the
// pipeline, which may refuse data or take its time: one bounded queue and one
// goroutine per signal.
//
// In: pdata, from any goroutine. Out: calls of the next consumer, one at a
// time, in order; counts of what could not be delivered, by cause. It must
// never know what the data says, nor where it comes from.
package delivery
