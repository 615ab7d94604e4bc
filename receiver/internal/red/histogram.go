// SPDX-License-Identifier: Apache-2.0

package red

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
)

// histogram accumulates the values of one series and instrument. It has either
// explicit buckets or exponential ones; those of counters and gauges have neither.
type histogram struct {
	count         uint64
	sum, min, max float64
	buckets       []uint64 // len(bounds)+1, upper bounds inclusive
	exponential   *exponential
	exemplars     *exemplars // nil until the first
	last          float64    // of a gauge,
	at            uint64     // as of this time: monotonic, ns
}

// add is record for a counter.
func (h *histogram) add(v float64) {
	h.count++
	h.sum += v
}

// set is record for a gauge.
func (h *histogram) set(v float64, at uint64) {
	h.count++
	if at >= h.at {
		h.last, h.at = v, at
	}
}

// record adds a value that is neither NaN nor infinite.
func (h *histogram) record(v float64, bounds []float64) {
	if h.count == 0 {
		h.min, h.max = v, v
	} else {
		h.min, h.max = min(h.min, v), max(h.max, v)
	}
	h.count++
	h.sum += v
	if h.exponential != nil {
		h.exponential.record(v)
		return
	}
	// Linear: most exchanges are fast and leave the loop early.
	i := 0
	for i < len(bounds) && v > bounds[i] {
		i++
	}
	h.buckets[i]++
}

// merge adds another histogram of the same kind and bounds.
func (h *histogram) merge(o *histogram) {
	if o.count == 0 {
		return
	}
	if h.count == 0 {
		h.min, h.max = o.min, o.max
	} else {
		h.min, h.max = min(h.min, o.min), max(h.max, o.max)
	}
	h.count += o.count
	h.sum += o.sum
	if o.at >= h.at {
		h.last, h.at = o.last, o.at
	}
	if h.exponential != nil {
		h.exponential.merge(o.exponential)
	}
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
	if o.exemplars != nil && o.exemplars.set {
		if h.exemplars == nil {
			h.exemplars = &exemplars{}
		}
		h.exemplars.merge(o.exemplars)
	}
}

// reset empties the histogram and keeps its memory. scale is what exponential
// buckets begin with.
func (h *histogram) reset(scale int32) {
	h.count, h.sum, h.min, h.max = 0, 0, 0, 0
	clear(h.buckets)
	if h.exponential != nil {
		h.exponential.reset(scale)
	}
	h.exemplars.reset()
}

// exemplars are those of one series and interval: the last exchange, and the
// one with the largest value, which is the one to look at first.
type exemplars struct {
	set           bool
	last, largest exemplar
}

type exemplar struct {
	value float64
	time  uint64 // monotonic, ns
	trace pcommon.TraceID
	span  pcommon.SpanID
}

func (e *exemplars) offer(value float64, time uint64, trace pcommon.TraceID, span pcommon.SpanID) {
	e.last = exemplar{value: value, time: time, trace: trace, span: span}
	if !e.set || value > e.largest.value {
		e.largest = e.last
	}
	e.set = true
}

func (e *exemplars) merge(o *exemplars) {
	if !e.set {
		*e = *o
		return
	}
	if o.last.time > e.last.time {
		e.last = o.last
	}
	if o.largest.value > e.largest.value {
		e.largest = o.largest
	}
}

func (e *exemplars) reset() {
	if e != nil {
		e.set = false
	}
}
