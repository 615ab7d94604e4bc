// SPDX-License-Identifier: Apache-2.0

package spans

import (
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"golang.org/x/sys/unix"
)

// Clock converts CLOCK_MONOTONIC, which bpf_ktime_get_ns reads, to wall-clock
// time. It is safe for concurrent use.
//
// Measure it anew from time to time (each metrics collection will do): the
// distance between the two clocks changes when the wall clock is set, though
// not when it is slewed, because NTP slews both.
type Clock struct{ offset atomic.Int64 }

// NewClock makes a measured clock.
func NewClock() *Clock {
	c := &Clock{}
	c.Measure()
	return c
}

// Measure determines the distance between the clocks: the wall clock is read
// between two readings of the monotonic one, several times, and the tightest
// reading counts. Its error is at most half of what the two readings are
// apart, well below a microsecond on an idle CPU. It returns the change.
func (c *Clock) Measure() time.Duration {
	best, offset := int64(1<<62), int64(0)
	for range 10 {
		before := read(unix.CLOCK_MONOTONIC)
		wall := read(unix.CLOCK_REALTIME)
		after := read(unix.CLOCK_MONOTONIC)
		if d := after - before; d < best {
			best, offset = d, wall-before-d/2
		}
	}
	return time.Duration(offset - c.offset.Swap(offset))
}

// Wall is the wall-clock time of a monotonic one in ns.
func (c *Clock) Wall(monotonic uint64) pcommon.Timestamp {
	return pcommon.Timestamp(int64(monotonic) + c.offset.Load())
}

func read(id int32) int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		return 0 // neither clock can be absent
	}
	return t.Nano()
}
