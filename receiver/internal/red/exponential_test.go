// SPDX-License-Identifier: Apache-2.0

package red

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// reference computes an exponential histogram from all its values at once: the
// finest scale at which they fit.
func reference(values []float64, maxSize int) (scale, offset int32, zero uint64, counts []uint64) {
	var indices []int32
	for _, v := range values {
		if v == 0 {
			zero++
		} else {
			indices = append(indices, fineIndex(v))
		}
	}
	scale = maxScale
	if len(indices) == 0 {
		return scale, 0, zero, nil
	}
	for {
		low, high := slices.Min(indices), slices.Max(indices)
		if int(high)-int(low) < maxSize {
			counts = make([]uint64, high-low+1)
			for _, i := range indices {
				counts[i-low]++
			}
			return scale, low, zero, counts
		}
		scale--
		for i := range indices {
			indices[i] >>= 1
		}
	}
}

func TestExponentialAgainstReference(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		maxSize := []int{8, 20, 160}[round%3]
		spread := r.Float64() * 40
		values := make([]float64, 1+r.IntN(400))
		for i := range values {
			switch r.IntN(20) {
			case 0:
				values[i] = 0
			case 1:
				values[i] = math.Ldexp(1, r.IntN(20)-10)
			default:
				values[i] = math.Exp((r.Float64() - 0.5) * spread)
			}
		}
		scale, offset, zero, counts := reference(values, maxSize)

		one := newExponential(maxSize)
		for _, v := range values {
			one.record(v)
		}
		check := func(e *exponential) {
			require.Equal(t, scale, e.scale)
			require.Equal(t, zero, e.zero)
			require.Equal(t, counts, slices.Clip(append([]uint64(nil), e.counts...)))
			if len(counts) > 0 {
				require.Equal(t, offset, e.offset)
			}
		}
		check(one)

		// The same in parts, merged in steps as collections do.
		total := newExponential(maxSize)
		parts := []*exponential{newExponential(maxSize), newExponential(maxSize), newExponential(maxSize)}
		for i, v := range values {
			parts[r.IntN(3)].record(v)
			if i%50 == 49 {
				for _, p := range parts {
					total.merge(p)
					p.reset(total.scale)
				}
			}
		}
		for _, p := range parts {
			total.merge(p)
		}
		// Merging can only lose scale where a bucket of a coarser part
		// reaches over the edge; never more than one step.
		if total.scale == scale {
			check(total)
		} else {
			require.Equal(t, scale-1, total.scale)
			require.Equal(t, zero+sum(counts), total.zero+sum(total.counts))
		}
	}
}

// TestFineIndex checks the mapping against the definition, with bounds
// computed to 200 bits.
func TestFineIndex(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	values := []float64{1, 2, 4, 0.5, 0.25, math.SmallestNonzeroFloat64, math.MaxFloat64, math.Nextafter(1, 2), math.Nextafter(1, 0), 1e-9, 0.001, 3, 0x1p-1022}
	for range 200 {
		values = append(values, math.Exp((r.Float64()-0.5)*1000))
	}
	for _, v := range values {
		for _, scale := range []int32{-10, -3, 0, 3, 6} {
			i := fineIndex(v) >> (maxScale - scale)
			x := new(big.Float).SetPrec(200).SetFloat64(v)
			require.Equal(t, 1, x.Cmp(bound(scale, i)), "%g is not above the lower bound of %d at %d", v, i, scale)
			require.LessOrEqual(t, x.Cmp(bound(scale, i+1)), 0, "%g is above the upper bound of %d at %d", v, i, scale)
		}
	}
	require.Equal(t, int32(-1), fineIndex(1))
	require.Equal(t, int32(0), fineIndex(math.Nextafter(1, 2)))
	require.Equal(t, int32(1<<maxScale-1), fineIndex(2))
}

// bound is 2^(i * 2^-scale).
func bound(scale, i int32) *big.Float {
	x := new(big.Float).SetPrec(200).SetInt64(2)
	if scale <= 0 {
		return new(big.Float).SetPrec(200).SetMantExp(big.NewFloat(1).SetPrec(200), int(i)<<-scale)
	}
	for range scale {
		x.Sqrt(x)
	}
	whole, rest := i>>scale, i&(1<<scale-1)
	y := new(big.Float).SetPrec(200).SetInt64(1)
	for range rest {
		y.Mul(y, x)
	}
	return y.SetMantExp(y, int(whole))
}

func TestScaleStaysInRange(t *testing.T) {
	e := newExponential(minMaxSize)
	e.record(math.SmallestNonzeroFloat64)
	e.record(math.MaxFloat64)
	e.record(1)
	require.GreaterOrEqual(t, e.scale, int32(-10))
	require.LessOrEqual(t, len(e.counts), minMaxSize)
	require.Equal(t, uint64(3), sum(e.counts))
}
