// SPDX-License-Identifier: Apache-2.0

package red

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/spans"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/workload"
)

const delta = pmetric.AggregationTemporalityDelta

func TestCumulative(t *testing.T) {
	a := newAggregator(t, Options{Version: "1.2.3"})
	s1, s2 := a.Shard(), a.Shard()
	w := newInstance("shop")
	x, d := newExchange(w, "a", 50*time.Millisecond)
	s1.Begin(x)
	s1.End(x, true)
	s2.Begin(x)
	d.size = 100
	s2.End(x, false) // the same series from another shard
	y, _ := newExchange(w, "b", 2*time.Second)
	y.Start, y.End = y.Start+1e9, y.End+1e9
	s2.Begin(y) // stays in flight

	md := a.Collect(at(10))
	require.Equal(t, []string{
		"shop test.server.duration map[label:a] [1s,10s] count=2 sum=0.100 min=0.050 max=0.050 [0 2 0 0] exemplars=1",
		"shop test.server.size map[label:a] [1s,10s] count=1 sum=100.000 min=100.000 max=100.000 [0 1 0 0] exemplars=0",
		"shop test.server.active map[label:a] [1s,10s] value=0",
		"shop test.server.active map[label:b] [2s,10s] value=1",
	}, text(md))
	r := md.ResourceMetrics().At(0)
	require.Equal(t, semconv.SchemaURL, r.SchemaUrl())
	scope := r.ScopeMetrics().At(0)
	require.Equal(t, semconv.SchemaURL, scope.SchemaUrl())
	require.Equal(t, spans.ScopeName, scope.Scope().Name())
	require.Equal(t, "1.2.3", scope.Scope().Version())
	m := scope.Metrics().At(0)
	require.Equal(t, "How long.", m.Description())
	require.Equal(t, "s", m.Unit())
	require.Equal(t, pmetric.AggregationTemporalityCumulative, m.Histogram().AggregationTemporality())
	require.Equal(t, []float64{0.01, 0.1, 1}, m.Histogram().DataPoints().At(0).ExplicitBounds().AsRaw())
	require.False(t, scope.Metrics().At(2).Sum().IsMonotonic())
	require.Equal(t, "{request}", scope.Metrics().At(2).Unit())

	s2.End(y, true)
	require.Nil(t, y.InFlight)
	s1.Begin(x)
	s1.Abandon(x)
	require.Equal(t, []string{
		// Nothing new in a: emitted all the same, its exemplars are not.
		"shop test.server.duration map[label:a] [1s,20s] count=2 sum=0.100 min=0.050 max=0.050 [0 2 0 0] exemplars=0",
		"shop test.server.duration map[label:b] [2s,20s] count=1 sum=2.000 min=2.000 max=2.000 [0 0 0 1] exemplars=1",
		"shop test.server.size map[label:a] [1s,20s] count=1 sum=100.000 min=100.000 max=100.000 [0 1 0 0] exemplars=0",
		"shop test.server.active map[label:a] [1s,20s] value=0",
		"shop test.server.active map[label:b] [2s,20s] value=0",
	}, text(a.Collect(at(20))))
	require.Equal(t, Stats{Ended: 3, Instances: 1, Series: 2}, a.Stats())
}

func TestDelta(t *testing.T) {
	a := newAggregator(t, Options{Temporality: delta})
	s := a.Shard()
	w := newInstance("shop")
	x, _ := newExchange(w, "a", 50*time.Millisecond)
	s.Begin(x)
	s.End(x, false)
	s.Begin(x)
	require.Equal(t, []string{
		"shop test.server.duration map[label:a] [0s,10s] count=1 sum=0.050 min=0.050 max=0.050 [0 1 0 0] exemplars=0",
		"shop test.server.active map[label:a] [1s,10s] value=1",
	}, text(a.Collect(at(10))))
	require.Equal(t, 1, a.Stats().Series)
	// Nothing ended: no histogram point, and the series is forgotten. What is
	// in flight is a level, not a delta.
	require.Equal(t, []string{"shop test.server.active map[label:a] [1s,20s] value=1"}, text(a.Collect(at(20))))
	require.Zero(t, a.Stats().Series)
	x.End = x.Start + 5e6
	s.End(x, false)
	require.Equal(t, []string{
		"shop test.server.duration map[label:a] [20s,30s] count=1 sum=0.005 min=0.005 max=0.005 [1 0 0 0] exemplars=0",
		"shop test.server.active map[label:a] [1s,30s] value=0",
	}, text(a.Collect(at(30))))
}

func TestOrderAndResources(t *testing.T) {
	a := newAggregator(t, Options{})
	s := a.Shard()
	other := *testProtocol
	other.Name, other.Server, other.Active = "another", testProtocol.Client, exchange.Instrument{}
	for _, i := range rand.Perm(3) {
		w := newInstance(fmt.Sprintf("instance-%d", i))
		for _, j := range rand.Perm(3) {
			x, d := newExchange(w, fmt.Sprintf("label-%d", j), time.Millisecond)
			s.End(x, false)
			x.Role = exchange.RoleClient
			s.End(x, false)
			d.protocol, d.label, x.Role = &other, "other-"+d.label, exchange.RoleServer
			s.Begin(x)
			s.End(x, false)
		}
	}
	md := a.Collect(at(10))
	require.Equal(t, 3, md.ResourceMetrics().Len())
	want := text(md)
	// The client metric of one protocol is the server metric of another here:
	// one metric, in the order of the protocols.
	require.Contains(t, want[0], "instance-0 test.client.duration map[label:other-label-0]")
	require.Contains(t, want[3], "instance-0 test.client.duration map[label:label-0]")
	require.Contains(t, want[6], "instance-0 test.server.duration map[label:label-0]")
	require.Len(t, want, 27)
	for range 3 {
		require.Equal(t, want, text(a.Collect(at(10))))
	}
}

func TestOverflow(t *testing.T) {
	a := newAggregator(t, Options{MaxSeries: 4})
	s1, s2 := a.Shard(), a.Shard()
	w := newInstance("shop")
	for i := range 10 {
		x, _ := newExchange(w, fmt.Sprint(i), time.Millisecond)
		for _, s := range []*Shard{s1, s2} {
			s.Begin(x)
			s.End(x, false)
			s.Begin(x)
		}
	}
	require.Equal(t, []string{
		"shop test.server.duration map[label:0] [1s,10s] count=2 sum=0.002 min=0.001 max=0.001 [2 0 0 0] exemplars=0",
		"shop test.server.duration map[label:1] [1s,10s] count=2 sum=0.002 min=0.001 max=0.001 [2 0 0 0] exemplars=0",
		"shop test.server.duration map[label:2] [1s,10s] count=2 sum=0.002 min=0.001 max=0.001 [2 0 0 0] exemplars=0",
		"shop test.server.duration map[otel.metric.overflow:true] [1s,10s] count=14 sum=0.014 min=0.001 max=0.001 [14 0 0 0] exemplars=0",
		"shop test.server.active map[label:0] [1s,10s] value=2",
		"shop test.server.active map[label:1] [1s,10s] value=2",
		"shop test.server.active map[label:2] [1s,10s] value=2",
		"shop test.server.active map[otel.metric.overflow:true] [1s,10s] value=14",
	}, text(a.Collect(at(10))))
	stats := a.Stats()
	require.Equal(t, uint64(20), stats.Ended)
	require.Equal(t, uint64(14), stats.Overflowed)
	require.Equal(t, 4, stats.Series)
	require.Len(t, s1.instances[w.Instance].families[0].entries, 3) // overflowed keys are not remembered
}

func TestOverflowOfProtocolsThatShareAMetric(t *testing.T) {
	for _, exponential := range []bool{false, true} {
		a := newAggregator(t, Options{MaxSeries: 2, Exponential: exponential})
		s := a.Shard()
		w := newInstance("shop")
		other := *testProtocol
		other.Name = "another"
		for i := range 5 {
			x, d := newExchange(w, fmt.Sprint(i), 8*time.Millisecond)
			s.End(x, true)
			d.protocol, d.label = &other, "other"+d.label
			s.End(x, true)
		}
		for range 2 {
			points := a.Collect(at(10)).ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
			require.Equal(t, 1, points.Len())
			require.Len(t, text(a.Collect(at(10))), 3) // two series and one overflow
			require.Equal(t, uint64(10), totals(a.Collect(at(10)))["test.server.duration"])
		}
	}
}

func TestSuppressedAndInvalid(t *testing.T) {
	a := newAggregator(t, Options{})
	s := a.Shard()
	x, d := newExchange(newInstance("shop"), "a", time.Millisecond)
	d.suppressed = true
	s.Begin(x)
	require.Nil(t, x.InFlight)
	s.End(x, true)
	require.Empty(t, text(a.Collect(at(1))))
	d.suppressed = false
	for _, v := range []float64{-1, math.Inf(1), math.NaN()} {
		d.size = v
		s.End(x, true)
	}
	require.Equal(t, map[string]uint64{"test.server.duration": 3}, totals(a.Collect(at(2))))
	require.Equal(t, Stats{Ended: 4, Suppressed: 1, Invalid: 2, Instances: 1, Series: 1}, a.Stats())
}

func TestNoWorkload(t *testing.T) {
	a := newAggregator(t, Options{})
	s := a.Shard()
	x, _ := newExchange(nil, "a", time.Millisecond)
	s.Begin(x)
	s.End(x, true)
	s.Abandon(x)
	require.Zero(t, a.Stats())
}

func TestClientsAreNotInFlight(t *testing.T) {
	a := newAggregator(t, Options{})
	s := a.Shard()
	x, _ := newExchange(newInstance("shop"), "a", time.Millisecond)
	x.Role = exchange.RoleClient
	s.Begin(x)
	require.Nil(t, x.InFlight)
	s.Abandon(x)
	s.End(x, false)
	require.Equal(t, map[string]uint64{"test.client.duration": 1}, totals(a.Collect(at(2))))
}

func TestExemplars(t *testing.T) {
	for _, exponential := range []bool{false, true} {
		a := newAggregator(t, Options{Exponential: exponential})
		s1, s2 := a.Shard(), a.Shard()
		w := newInstance("shop")
		for i, ms := range []int{5, 900, 20, 30} {
			x, _ := newExchange(w, "a", time.Duration(ms)*time.Millisecond)
			x.Start += uint64(i) * 1e9
			x.End += uint64(i) * 1e9
			s := s1
			if i%2 == 1 {
				s = s2
			}
			s.End(withID(x, uint64(i+1)), true)
		}
		x, _ := newExchange(w, "a", 5*time.Second)
		s1.End(x, false) // not sampled: no trace to point at
		x, _ = newExchange(w, "b", 5*time.Second)
		x.Context.TraceID = pcommon.TraceID{9}
		s1.End(x, true)

		m := a.Collect(at(10)).ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0)
		var first, second pmetric.ExemplarSlice
		if exponential {
			first, second = m.ExponentialHistogram().DataPoints().At(0).Exemplars(), m.ExponentialHistogram().DataPoints().At(1).Exemplars()
		} else {
			first, second = m.Histogram().DataPoints().At(0).Exemplars(), m.Histogram().DataPoints().At(1).Exemplars()
		}
		require.Equal(t, 2, first.Len())
		require.Equal(t, 0.9, first.At(0).DoubleValue()) // the slowest
		require.Equal(t, pcommon.SpanID{7: 2}, first.At(0).SpanID())
		require.Equal(t, wall(2.9e9), first.At(0).Timestamp())
		require.Equal(t, 0.03, first.At(1).DoubleValue()) // the last
		require.Equal(t, pcommon.SpanID{7: 4}, first.At(1).SpanID())
		require.Equal(t, pcommon.TraceID{15: 1}, first.At(1).TraceID())
		require.Equal(t, 1, second.Len())
		require.Equal(t, pcommon.TraceID{9}, second.At(0).TraceID())
	}
	a := newAggregator(t, Options{NoExemplars: true})
	s := a.Shard()
	x, _ := newExchange(newInstance("shop"), "a", time.Millisecond)
	s.End(x, true)
	require.Zero(t, a.Collect(at(10)).ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Histogram().DataPoints().At(0).Exemplars().Len())
}

func TestForget(t *testing.T) {
	a := newAggregator(t, Options{})
	s1, s2 := a.Shard(), a.Shard()
	w, stays := newInstance("gone"), newInstance("stays")
	x, _ := newExchange(w, "a", time.Millisecond)
	y, _ := newExchange(stays, "a", time.Millisecond)
	s1.Begin(x)
	s1.End(x, false)
	s2.End(x, false)
	s2.End(y, false)
	a.Collect(at(1))
	s1.End(x, false)
	a.Forget("gone")
	a.Forget("never seen")
	require.Equal(t, uint64(4), totals(a.Collect(at(2)))["test.server.duration"]) // for the last time
	require.Equal(t, uint64(1), totals(a.Collect(at(3)))["test.server.duration"])
	require.Equal(t, 1, a.Stats().Instances)
	require.Len(t, s1.instances, 0)
	require.Len(t, s2.instances, 1)
	// Back from the dead: a new stream with a new start.
	x.Start, x.End = 5e9, 5e9+1e6
	s1.End(x, false)
	require.Contains(t, text(a.Collect(at(6))), "gone test.server.duration map[label:a] [5s,6s] count=1 sum=0.001 min=0.001 max=0.001 [1 0 0 0] exemplars=0")
}

func TestIdleInstancesAreDropped(t *testing.T) {
	a := newAggregator(t, Options{Idle: 30 * time.Second})
	s := a.Shard()
	idle, busy, open := newInstance("idle"), newInstance("busy"), newInstance("open")
	x, _ := newExchange(idle, "a", time.Millisecond)
	y, _ := newExchange(busy, "a", time.Millisecond)
	z, _ := newExchange(open, "a", time.Millisecond)
	s.End(x, false)
	s.Begin(z)
	for i := range 10 {
		s.End(y, false)
		a.Collect(at(float64(10 * i)))
	}
	require.Equal(t, 2, a.Stats().Instances)
	require.NotContains(t, a.instances, "idle")
	s.End(z, false)
	require.Equal(t, uint64(1), totals(a.Collect(at(100)))["test.server.duration"]-10)
}

func TestSameInstanceExaminedAnew(t *testing.T) {
	a := newAggregator(t, Options{})
	s := a.Shard()
	before, after := newInstance("shop"), newInstance("shop")
	after.Instance.Metrics.Attributes().PutStr("service.version", "2")
	for _, w := range []*workload.Workload{before, after} {
		x, _ := newExchange(w, "a", time.Millisecond)
		s.End(x, false)
	}
	md := a.Collect(at(2))
	require.Equal(t, 1, md.ResourceMetrics().Len())
	require.Equal(t, uint64(2), totals(md)["test.server.duration"])
	version, _ := md.ResourceMetrics().At(0).Resource().Attributes().Get("service.version")
	require.Equal(t, "2", version.Str())
}

// TestNothingIsLost: whatever is thrown at the aggregator, the counts of all
// points are the number of exchanges, deltas add up to the cumulative totals,
// and explicit and exponential histograms agree.
func TestNothingIsLost(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		limit := 2 + r.IntN(30)
		kinds := []Options{
			{MaxSeries: limit}, {MaxSeries: limit, Temporality: delta},
			{MaxSeries: limit, Exponential: true, MaxSize: 20}, {MaxSeries: limit, Exponential: true, MaxSize: 20, Temporality: delta},
		}
		var as []*Aggregator
		var shards [][]*Shard
		for _, o := range kinds {
			a := newAggregator(t, o)
			as = append(as, a)
			shards = append(shards, []*Shard{a.Shard(), a.Shard(), a.Shard()})
		}
		var instances []*workload.Workload
		for i := range 3 {
			instances = append(instances, newInstance(fmt.Sprint(i)))
		}
		want := map[string]uint64{}
		wantSum := 0.0
		sums := make([]map[string]uint64, len(as))
		durations := make([]float64, len(as))
		for range 5 {
			for range 300 {
				duration := time.Duration(math.Exp(r.Float64()*25)) + 1
				x, d := newExchange(instances[r.IntN(3)], fmt.Sprint(r.IntN(20)), duration)
				name := "test.server.duration"
				if r.IntN(4) == 0 {
					x.Role, name = exchange.RoleClient, "test.client.duration"
				} else if r.IntN(2) == 0 {
					d.size = float64(r.IntN(2000))
					want["test.server.size"]++
				}
				want[name]++
				wantSum += float64(x.End-x.Start) / 1e9
				shard := r.IntN(3)
				for i := range as {
					shards[i][shard].End(x, r.IntN(2) == 0)
				}
			}
			for i, a := range as {
				md := a.Collect(at(10))
				if kinds[i].Temporality != delta || sums[i] == nil {
					sums[i], durations[i] = map[string]uint64{}, 0
				}
				for k, v := range totals(md) {
					sums[i][k] += v
				}
				durations[i] += durationSum(md)
				buckets(t, md)
			}
		}
		for i := range as {
			require.Equal(t, want, sums[i], "seed %d kind %d", seed, i)
			require.InEpsilon(t, wantSum, durations[i], 1e-9)
			stats := as[i].Stats()
			require.Equal(t, want["test.server.duration"]+want["test.client.duration"], stats.Ended)
			require.LessOrEqual(t, stats.Series, 3*2*limit)
		}
	}
}

func durationSum(md pmetric.Metrics) (sum float64) {
	for _, r := range md.ResourceMetrics().All() {
		for _, m := range r.ScopeMetrics().At(0).Metrics().All() {
			if m.Unit() != "s" {
				continue
			}
			if m.Type() == pmetric.MetricTypeHistogram {
				for _, p := range m.Histogram().DataPoints().All() {
					sum += p.Sum()
				}
			} else {
				for _, p := range m.ExponentialHistogram().DataPoints().All() {
					sum += p.Sum()
				}
			}
		}
	}
	return sum
}

// buckets checks that every point's buckets add up to its count.
func buckets(t *testing.T, md pmetric.Metrics) {
	for _, r := range md.ResourceMetrics().All() {
		for _, m := range r.ScopeMetrics().At(0).Metrics().All() {
			switch m.Type() {
			case pmetric.MetricTypeHistogram:
				for _, p := range m.Histogram().DataPoints().All() {
					require.Equal(t, p.Count(), sum(p.BucketCounts().AsRaw()))
				}
			case pmetric.MetricTypeExponentialHistogram:
				for _, p := range m.ExponentialHistogram().DataPoints().All() {
					require.Equal(t, p.Count(), p.ZeroCount()+sum(p.Positive().BucketCounts().AsRaw()))
					require.LessOrEqual(t, p.Positive().BucketCounts().Len(), 20)
				}
			}
		}
	}
}

func sum(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// TestConcurrently has readers, collections, forgetting and statistics at once
// and counts afterwards.
func TestConcurrently(t *testing.T) {
	for _, o := range []Options{{MaxSeries: 10}, {MaxSeries: 10, Temporality: delta, Exponential: true}} {
		a := newAggregator(t, o)
		w := []*workload.Workload{newInstance("a"), newInstance("b")}
		const readers, each = 4, 2000
		var wg sync.WaitGroup
		for g := range readers {
			s := a.Shard()
			wg.Go(func() {
				for i := range each {
					x, _ := newExchange(w[i%2], fmt.Sprint((i+g)%15), time.Millisecond)
					s.Begin(x)
					if i%10 == 0 {
						s.Abandon(x)
						continue
					}
					s.End(x, true)
				}
			})
		}
		done := make(chan struct{})
		collected := make(chan uint64)
		go func() {
			var sum uint64
			for i := 0; ; i++ {
				if o.Temporality == delta {
					sum += totals(a.Collect(at(float64(i))))["test.server.duration"]
					if i%3 == 0 {
						a.Forget("a")
					}
				} else {
					sum = totals(a.Collect(at(float64(i))))["test.server.duration"]
				}
				a.Stats()
				select {
				case <-done:
					collected <- sum
					return
				default:
				}
			}
		}()
		wg.Wait()
		close(done)
		sum := <-collected
		last := a.Collect(at(1e6))
		if o.Temporality == delta {
			sum += totals(last)["test.server.duration"]
		} else {
			sum = totals(last)["test.server.duration"]
		}
		require.Equal(t, uint64(readers*each*9/10), sum)
		require.Equal(t, uint64(readers*each*9/10), a.Stats().Ended)
		for _, r := range last.ResourceMetrics().All() {
			for _, m := range r.ScopeMetrics().At(0).Metrics().All() {
				if m.Type() == pmetric.MetricTypeSum {
					for _, p := range m.Sum().DataPoints().All() {
						require.Zero(t, p.IntValue())
					}
				}
			}
		}
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	for _, o := range []Options{{}, {Exponential: true}} {
		a := newAggregator(t, o)
		s := a.Shard()
		w := newInstance("shop")
		x, d := newExchange(w, "a", 3*time.Millisecond)
		y, e := newExchange(w, "b", 3*time.Millisecond)
		d.size, e.size = 10, 1000
		f := func() {
			s.Begin(x)
			s.End(x, true)
			s.Begin(y)
			s.End(y, true)
		}
		f()
		require.Zero(t, testing.AllocsPerRun(100, f))
	}
}
