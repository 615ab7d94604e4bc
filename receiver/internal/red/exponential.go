// SPDX-License-Identifier: Apache-2.0

package red

import "math"

const (
	// DefaultMaxSize is how many exponential buckets a point may have: the
	// default of the OpenTelemetry SDK. It spans a factor of a million with a
	// relative error below 5 %.
	DefaultMaxSize = 160
	// minMaxSize keeps the scale within the -10 that OTLP's readers expect.
	minMaxSize = 8
	// maxScale is the finest scale, that of the OpenTelemetry SDK.
	maxScale = 20
)

// exponential is the buckets of a base-2 exponential histogram as OTLP defines
// it: bucket i holds the values in (base^i, base^(i+1)], base = 2^(2^-scale).
// Values are never negative here.
//
// The zero threshold is 0: only 0 is counted as zero.
type exponential struct {
	scale   int32
	offset  int32 // index of counts[0]
	maxSize int
	zero    uint64
	counts  []uint64 // the first and the last are not 0
}

func newExponential(maxSize int) *exponential {
	return &exponential{scale: maxScale, maxSize: maxSize}
}

func (e *exponential) record(v float64) {
	if v == 0 {
		e.zero++
		return
	}
	e.add(fineIndex(v)>>(maxScale-e.scale), 1)
}

// fineIndex is the index of a positive value's bucket at maxScale. Indices at
// smaller scales follow by shifting, so that values recorded before and after
// a change of scale, here and in another shard, always meet in one bucket.
func fineIndex(v float64) int32 {
	frac, exp := math.Frexp(v) // v = frac * 2^exp, frac in [0.5, 1)
	octave := int32(exp-1) << maxScale
	if frac == 0.5 {
		return octave - 1 // a power of two is the upper end of a bucket
	}
	const factor = math.Log2E * (1 << maxScale)
	i := int32(math.Ceil(math.Log(2*frac) * factor))
	return octave + min(max(i, 1), 1<<maxScale) - 1
}

// add counts n values at index i of the current scale, making room for it by
// lowering the scale if need be.
func (e *exponential) add(i int32, n uint64) {
	if len(e.counts) == 0 {
		e.offset = i
		e.counts = append(e.counts, n)
		return
	}
	low, high := min(e.offset, i), max(e.offset+int32(len(e.counts))-1, i)
	var shift int32
	for int(high)-int(low) >= e.maxSize {
		low >>= 1
		high >>= 1
		shift++
	}
	if shift > 0 {
		e.downscale(shift)
		i >>= shift
	}
	if i < e.offset {
		grow := int(e.offset - i)
		old := len(e.counts)
		e.extend(old + grow)
		copy(e.counts[grow:], e.counts[:old])
		clear(e.counts[:grow])
		e.offset = i
	} else if at := int(i - e.offset); at >= len(e.counts) {
		e.extend(at + 1)
	}
	e.counts[i-e.offset] += n
}

// extend makes counts n long; what is new is zero.
func (e *exponential) extend(n int) {
	old := len(e.counts)
	if n > cap(e.counts) {
		counts := make([]uint64, n, min(max(2*n, 16), max(e.maxSize, n)))
		copy(counts, e.counts)
		e.counts = counts
		return
	}
	e.counts = e.counts[:n]
	clear(e.counts[old:])
}

// downscale merges 2^shift neighbouring buckets into one.
func (e *exponential) downscale(shift int32) {
	if shift <= 0 {
		return
	}
	e.scale -= shift
	if len(e.counts) == 0 {
		return
	}
	offset := e.offset >> shift
	last := 0
	for i, n := range e.counts {
		at := int((e.offset+int32(i))>>shift - offset)
		if i != at {
			e.counts[i] = 0
			e.counts[at] += n
		}
		last = at
	}
	e.counts = e.counts[:last+1]
	e.offset = offset
}

// merge adds other buckets; the smaller scale wins.
func (e *exponential) merge(o *exponential) {
	e.zero += o.zero
	e.downscale(e.scale - o.scale)
	// If making room lowers the scale on the way, the shift of what follows
	// grows with it.
	for i, n := range o.counts {
		if n > 0 {
			e.add((o.offset+int32(i))>>(o.scale-e.scale), n)
		}
	}
}

func (e *exponential) reset(scale int32) {
	e.scale, e.zero, e.counts = scale, 0, e.counts[:0]
}
