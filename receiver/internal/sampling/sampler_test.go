// SPDX-License-Identifier: Apache-2.0

package sampling

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func traceID(r *rand.Rand) (id pcommon.TraceID) {
	binary.BigEndian.PutUint64(id[:8], r.Uint64())
	binary.BigEndian.PutUint64(id[8:], r.Uint64())
	return id
}

// TestAgreesWithTheSDK compares every decision with the Go SDK's own samplers.
func TestAgreesWithTheSDK(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, ratio := range []float64{0, 1e-19, 0.001, 0.1, 0.5, 0.999999, 1} {
		for _, parentBased := range []bool{false, true} {
			name, sdk := "traceidratio", sdktrace.TraceIDRatioBased(ratio)
			if parentBased {
				name, sdk = "parentbased_traceidratio", sdktrace.ParentBased(sdk)
			}
			s, err := New("sampler", name, strconv.FormatFloat(ratio, 'g', -1, 64))
			require.NoError(t, err)
			for i := range 2000 {
				id := traceID(r)
				p := Parent(i % 3)
				ctx := context.Background()
				if p != ParentUnknown {
					c := trace.SpanContextConfig{TraceID: trace.TraceID(id), SpanID: trace.SpanID{1}, Remote: true}
					if p == ParentSampled {
						c.TraceFlags = trace.FlagsSampled
					}
					ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(c))
				}
				want := sdk.ShouldSample(sdktrace.SamplingParameters{ParentContext: ctx, TraceID: trace.TraceID(id)}).Decision == sdktrace.RecordAndSample
				require.Equal(t, want, s.Sample(id, p), "%s %s parent %d", s, trace.TraceID(id), p)
			}
		}
	}
}

func TestConstantSamplers(t *testing.T) {
	for _, c := range []struct {
		name                     string
		unknown, dropped, sample bool
	}{
		{"", true, false, true},
		{"always_on", true, true, true},
		{"always_off", false, false, false},
		{"parentbased_always_on", true, false, true},
		{"parentbased_always_off", false, false, true},
	} {
		s, err := New("sampler", c.name, "")
		require.NoError(t, err)
		got := []bool{s.Sample(pcommon.TraceID{1}, ParentUnknown), s.Sample(pcommon.TraceID{1}, ParentDropped), s.Sample(pcommon.TraceID{1}, ParentSampled)}
		require.Equal(t, []bool{c.unknown, c.dropped, c.sample}, got, c.name)
	}
	require.True(t, (*Sampler)(nil).Sample(pcommon.TraceID{}, ParentDropped))
	require.True(t, new(Sampler).Sample(pcommon.TraceID{}, ParentUnknown))
	require.Equal(t, "always_on", (*Sampler)(nil).String())
}

func TestErrorsNameThePathAndTheMend(t *testing.T) {
	for _, c := range []struct{ name, arg, want string }{
		{"sometimes", "", `sampler.name: "sometimes" is not a sampler: use one of always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio`},
		{"traceidratio", "10%", `sampler.arg: "10%" is not a probability: use a number from 0 to 1, such as "0.1" for a tenth of the traces`},
		{"parentbased_traceidratio", "1.5", `sampler.arg: "1.5" is not a probability: use a number from 0 to 1, such as "0.1" for a tenth of the traces`},
		{"traceidratio", "NaN", `sampler.arg: "NaN" is not a probability: use a number from 0 to 1, such as "0.1" for a tenth of the traces`},
		{"parentbased_always_on", "0.1", `sampler.arg: parentbased_always_on takes no argument: remove "0.1" or use parentbased_traceidratio`},
	} {
		_, err := New("sampler", c.name, c.arg)
		require.EqualError(t, err, c.want)
	}
}

func TestRatioIsRight(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	s, err := New("sampler", "traceidratio", "0.1")
	require.NoError(t, err)
	kept := 0
	for range 100_000 {
		if s.Sample(traceID(r), ParentUnknown) {
			kept++
		}
	}
	require.InDelta(t, 10_000, kept, 400) // four standard deviations
}

func TestSampleDoesNotAllocate(t *testing.T) {
	s, err := New("sampler", "parentbased_traceidratio", "0.1")
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() { s.Sample(pcommon.TraceID{9: 3}, ParentUnknown) }))
}
