// SPDX-License-Identifier: Apache-2.0

package red

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

var kindsProtocol = &exchange.Protocol{
	Name: "kinds",
	Server: []exchange.Instrument{
		{Name: "kinds.duration", Unit: "s", Bounds: []float64{1}},
		{Name: "kinds.messages", Unit: "{message}", Kind: exchange.Counter},
		{Name: "kinds.lag", Unit: "{message}", Kind: exchange.Gauged},
	},
}

// kinds is a detail with a counter and a gauge.
type kinds struct {
	detail
	messages, lag float64
}

func (k *kinds) Measure(x *exchange.Exchange, values []float64) {
	values[0], values[1], values[2] = x.Seconds(), k.messages, k.lag
}

// Counters add up, gauges keep the newest value, over all shards; both also beside
// exponential histograms.
func TestCountersAndGauges(t *testing.T) {
	t.Parallel()
	for _, exponential := range []bool{false, true} {
		a := newAggregator(t, Options{Exponential: exponential, Temporality: pmetric.AggregationTemporalityCumulative})
		first, second := a.Shard(), a.Shard()
		w := newInstance("i")
		end := func(s *Shard, after time.Duration, messages, lag float64) {
			x, d := newExchange(w, "a", after)
			d.protocol = kindsProtocol
			x.Detail = &kinds{*d, messages, lag}
			s.Begin(x)
			s.End(x, false)
		}
		end(first, 3*time.Second, 5, 30)
		end(second, 2*time.Second, 2, 20) // earlier
		end(second, time.Second, math.NaN(), math.NaN())
		values := func(now float64) (messages, lag int64) {
			md := a.Collect(at(now))
			for _, m := range md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().All() {
				switch m.Name() {
				case "kinds.messages":
					require.True(t, m.Sum().IsMonotonic())
					require.Equal(t, pmetric.AggregationTemporalityCumulative, m.Sum().AggregationTemporality())
					messages = m.Sum().DataPoints().At(0).IntValue()
				case "kinds.lag":
					lag = m.Gauge().DataPoints().At(0).IntValue()
				}
			}
			return messages, lag
		}
		messages, lag := values(10)
		require.EqualValues(t, 7, messages)
		require.EqualValues(t, 30, lag)
		end(second, 4*time.Second, 1, 0)
		messages, lag = values(20)
		require.EqualValues(t, 8, messages)
		require.EqualValues(t, 0, lag)
	}
}

func TestGaugesHaveNoOverflow(t *testing.T) {
	t.Parallel()
	a := newAggregator(t, Options{MaxSeries: 2})
	s := a.Shard()
	w := newInstance("i")
	for _, label := range []string{"a", "b", "c"} {
		x, d := newExchange(w, label, time.Second)
		d.protocol = kindsProtocol
		x.Detail = &kinds{*d, 1, 1}
		s.Begin(x)
		s.End(x, false)
	}
	points := map[string]int{}
	for _, m := range a.Collect(at(10)).ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().All() {
		switch m.Type() {
		case pmetric.MetricTypeSum:
			points[m.Name()] = m.Sum().DataPoints().Len()
		case pmetric.MetricTypeGauge:
			points[m.Name()] = m.Gauge().DataPoints().Len()
		}
	}
	require.Equal(t, map[string]int{"kinds.messages": 2, "kinds.lag": 1}, points)
}
