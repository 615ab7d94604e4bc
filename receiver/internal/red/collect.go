// SPDX-License-Identifier: Apache-2.0

package red

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// ScopeName is the instrumentation scope of everything the receiver emits.
const ScopeName = "github.com/otelcol-ebpf/otelcol-ebpf/receiver"

// SchemaURL of resources and scopes.
const SchemaURL = "https://opentelemetry.io/schemas/1.43.0"

// Collect makes a point of every series: with cumulative temporality also of
// those that nothing was added to. Instances are ordered by key, metrics as
// their protocols list them, points by their attributes' key with the overflow
// last.
//
// A cumulative series starts when the first exchange in it started, and keeps
// that start; a delta point starts at the collection before.
func (a *Aggregator) Collect(now time.Time) pmetric.Metrics {
	a.collect.Lock()
	defer a.collect.Unlock()
	for _, s := range a.allShards() {
		s.drain(now)
	}
	order := a.order()
	e := emission{a: a, metrics: pmetric.NewMetrics(), now: pcommon.NewTimestampFromTime(now)}
	for i := range order {
		e.emit(&order[i])
	}
	a.sweep(order, now)
	a.last = e.now
	return e.metrics
}

// snapshot of one instance in the registry.
type snapshot struct {
	*instance
	resource pcommon.Resource
	families []*family
	overflow []*series      // of each family; may be nil
	spill    []*gaugeSeries // likewise
	forget   bool
}

// order brings the registry into order and makes a list of it that can be
// walked without holding up the readers.
func (a *Aggregator) order() []snapshot {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]snapshot, 0, len(a.instances))
	for _, i := range a.instances {
		slices.SortFunc(i.families, compareFamilies)
		s := snapshot{instance: i, resource: i.source.Metrics, families: slices.Clone(i.families), forget: i.forgotten}
		for _, f := range i.families {
			if len(f.fresh) > 0 {
				f.ordered = append(f.ordered, f.fresh...)
				f.fresh = nil
				slices.SortFunc(f.ordered, compareSeries)
			}
			if len(f.freshG) > 0 {
				f.orderedG = append(f.orderedG, f.freshG...)
				f.freshG = nil
				slices.SortFunc(f.orderedG, compareGaugeSeries)
			}
			s.overflow = append(s.overflow, f.overflow)
			s.spill = append(s.spill, f.spill)
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b snapshot) int { return strings.Compare(a.key, b.key) })
	return list
}

func compareFamilies(a, b *family) int {
	return cmp.Or(strings.Compare(a.protocol.Name, b.protocol.Name), cmp.Compare(a.role, b.role))
}

func (a *Aggregator) allShards() []*Shard {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.shards
}

// drain moves what a shard holds into the series.
func (s *Shard) drain(now time.Time) {
	delta := s.aggregator.o.Temporality == pmetric.AggregationTemporalityDelta
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.instances {
		for _, f := range i.families {
			for _, e := range f.entries {
				if e.drain(delta) {
					i.instance.seen = now
				}
			}
			if f.overflow != nil && f.overflow.drain(delta) {
				i.instance.seen = now
			}
			for _, g := range f.gauges {
				if g.drain() {
					i.instance.seen = now
				}
			}
			if f.spill != nil && f.spill.drain() {
				i.instance.seen = now
			}
		}
	}
}

func (e *entry) drain(delta bool) (some bool) {
	for i := range e.histograms {
		from, to := &e.histograms[i], &e.series.points[i]
		if from.count == 0 {
			continue
		}
		some = true
		to.merge(from)
		scale := int32(maxScale)
		if !delta && to.exponential != nil {
			scale = to.exponential.scale // finer would be lost in the total
		}
		from.reset(scale)
	}
	return some
}

func (g *gauge) drain() (some bool) {
	g.series.value += g.Value
	return g.Value != 0
}

// emission is one collection in the making.
type emission struct {
	a       *Aggregator
	metrics pmetric.Metrics
	now     pcommon.Timestamp
}

// source is where the points of a metric come from: one instrument of one
// family. Protocols may share a metric (those of databases do).
type source struct {
	family   *family
	overflow *series
	index    int
}

func (e *emission) emit(s *snapshot) {
	var names []string
	sources := map[string][]source{}
	for i, f := range s.families {
		for _, t := range f.ordered {
			t.quiet = !t.pending()
		}
		if s.overflow[i] != nil {
			s.overflow[i].quiet = !s.overflow[i].pending()
		}
		for j := range f.instruments {
			name := f.instruments[j].Name
			if len(sources[name]) == 0 {
				names = append(names, name)
			}
			sources[name] = append(sources[name], source{family: f, overflow: s.overflow[i], index: j})
		}
	}
	scope := pmetric.NewScopeMetrics()
	for _, name := range names {
		e.metric(scope.Metrics(), sources[name])
	}
	for i, f := range s.families {
		if f.role == exchange.RoleServer {
			e.active(scope.Metrics(), f, s.spill[i])
		}
	}
	if scope.Metrics().Len() == 0 {
		return
	}
	r := e.metrics.ResourceMetrics().AppendEmpty()
	r.SetSchemaUrl(SchemaURL)
	s.resource.CopyTo(r.Resource())
	scope.SetSchemaUrl(SchemaURL)
	scope.Scope().SetName(ScopeName)
	scope.Scope().SetVersion(e.a.o.Version)
	scope.MoveTo(r.ScopeMetrics().AppendEmpty())
}

// metric makes a metric of the series that have points.
func (e *emission) metric(metrics pmetric.MetricSlice, sources []source) {
	n := 0
	overflow := &series{overflow: true}
	var spilled *histogram
	for _, s := range sources {
		for _, t := range s.family.ordered {
			n += count(t.points[s.index].count > 0)
		}
		if s.overflow == nil || s.overflow.points[s.index].count == 0 {
			continue
		}
		// One overflow point per metric, whichever protocols it comes from.
		p := &s.overflow.points[s.index]
		if spilled == nil {
			overflow.attributes, overflow.start, spilled = s.overflow.attributes, s.overflow.start, p
			continue
		}
		sum := e.a.histograms(s.family.instruments[s.index : s.index+1])
		sum[0].merge(spilled)
		sum[0].merge(p)
		spilled = &sum[0]
		overflow.start = min(overflow.start, s.overflow.start)
	}
	instrument := &sources[0].family.instruments[sources[0].index]
	if n == 0 && (spilled == nil || instrument.Kind == exchange.Gauged) {
		return
	}
	m := metrics.AppendEmpty()
	m.SetName(instrument.Name)
	m.SetDescription(instrument.Description)
	m.SetUnit(instrument.Unit)

	var point func(s *series, h *histogram)
	switch {
	case instrument.Kind == exchange.Counter:
		data := m.SetEmptySum()
		data.SetIsMonotonic(true)
		data.SetAggregationTemporality(e.a.o.Temporality)
		data.DataPoints().EnsureCapacity(n + count(spilled != nil))
		point = func(s *series, h *histogram) { e.counterPoint(data.DataPoints().AppendEmpty(), s, h) }
	case instrument.Kind == exchange.Gauged:
		// The last of several series' values says nothing.
		spilled = nil
		data := m.SetEmptyGauge()
		data.DataPoints().EnsureCapacity(n)
		point = func(s *series, h *histogram) { e.gaugePoint(data.DataPoints().AppendEmpty(), s, h) }
	case e.a.o.Exponential:
		data := m.SetEmptyExponentialHistogram()
		data.SetAggregationTemporality(e.a.o.Temporality)
		data.DataPoints().EnsureCapacity(n + count(spilled != nil))
		point = func(s *series, h *histogram) { e.exponentialPoint(data.DataPoints().AppendEmpty(), s, h) }
	default:
		data := m.SetEmptyHistogram()
		data.SetAggregationTemporality(e.a.o.Temporality)
		data.DataPoints().EnsureCapacity(n + count(spilled != nil))
		point = func(s *series, h *histogram) { e.point(data.DataPoints().AppendEmpty(), s, h, instrument.Bounds) }
	}
	for _, s := range sources {
		for _, t := range s.family.ordered {
			if h := &t.points[s.index]; h.count > 0 {
				point(t, h)
				e.emitted(h)
			}
		}
	}
	if spilled != nil {
		point(overflow, spilled)
		for _, s := range sources {
			if s.overflow != nil {
				e.emitted(&s.overflow.points[s.index])
			}
		}
	}
}

// emitted prepares a point for the next interval.
func (e *emission) emitted(h *histogram) {
	if e.a.o.Temporality == pmetric.AggregationTemporalityDelta {
		h.reset(maxScale)
		return
	}
	h.exemplars.reset()
}

func (e *emission) start(s *series) pcommon.Timestamp {
	if e.a.o.Temporality == pmetric.AggregationTemporalityDelta {
		return min(e.a.last, e.now)
	}
	return min(s.start, e.now)
}

func (e *emission) point(p pmetric.HistogramDataPoint, s *series, h *histogram, bounds []float64) {
	s.attributes.CopyTo(p.Attributes())
	p.SetStartTimestamp(e.start(s))
	p.SetTimestamp(e.now)
	p.SetCount(h.count)
	p.SetSum(h.sum)
	p.SetMin(h.min)
	p.SetMax(h.max)
	p.ExplicitBounds().FromRaw(bounds)
	p.BucketCounts().FromRaw(h.buckets)
	e.exemplars(p.Exemplars(), h.exemplars)
}

func (e *emission) counterPoint(p pmetric.NumberDataPoint, s *series, h *histogram) {
	s.attributes.CopyTo(p.Attributes())
	p.SetStartTimestamp(e.start(s))
	p.SetTimestamp(e.now)
	p.SetIntValue(int64(h.sum))
}

func (e *emission) gaugePoint(p pmetric.NumberDataPoint, s *series, h *histogram) {
	s.attributes.CopyTo(p.Attributes())
	p.SetTimestamp(e.now)
	p.SetIntValue(int64(h.last))
}

func (e *emission) exponentialPoint(p pmetric.ExponentialHistogramDataPoint, s *series, h *histogram) {
	s.attributes.CopyTo(p.Attributes())
	p.SetStartTimestamp(e.start(s))
	p.SetTimestamp(e.now)
	p.SetCount(h.count)
	p.SetSum(h.sum)
	p.SetMin(h.min)
	p.SetMax(h.max)
	p.SetScale(h.exponential.scale)
	p.SetZeroCount(h.exponential.zero)
	p.Positive().SetOffset(h.exponential.offset)
	p.Positive().BucketCounts().FromRaw(h.exponential.counts)
	e.exemplars(p.Exemplars(), h.exemplars)
}

func (e *emission) exemplars(to pmetric.ExemplarSlice, from *exemplars) {
	if from == nil || !from.set {
		return
	}
	list := []*exemplar{&from.largest, &from.last}
	if from.largest == from.last {
		list = list[:1]
	}
	to.EnsureCapacity(len(list))
	for _, x := range list {
		p := to.AppendEmpty()
		p.SetDoubleValue(x.value)
		p.SetTimestamp(e.a.o.Wall(x.time))
		p.SetTraceID(x.trace)
		p.SetSpanID(x.span)
	}
}

// active makes the in-flight metric: a sum that goes up and down.
func (e *emission) active(metrics pmetric.MetricSlice, f *family, spill *gaugeSeries) {
	list := f.orderedG
	if spill != nil {
		list = append(slices.Clip(list), spill)
	}
	if len(list) == 0 {
		return
	}
	m := metrics.AppendEmpty()
	m.SetName(f.protocol.Active.Name)
	m.SetDescription(f.protocol.Active.Description)
	m.SetUnit(f.protocol.Active.Unit)
	sum := m.SetEmptySum()
	sum.SetIsMonotonic(false)
	sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	sum.DataPoints().EnsureCapacity(len(list))
	for _, g := range list {
		p := sum.DataPoints().AppendEmpty()
		g.attributes.CopyTo(p.Attributes())
		p.SetStartTimestamp(min(g.start, e.now))
		p.SetTimestamp(e.now)
		p.SetIntValue(g.value)
		g.value = 0 // the next drain adds up anew
	}
}

// sweep drops what is gone: forgotten and idle instances, and with delta
// temporality the series that had no points.
func (a *Aggregator) sweep(order []snapshot, now time.Time) {
	delta := a.o.Temporality == pmetric.AggregationTemporalityDelta
	var gone []*instance
	for _, s := range order {
		if s.forget || a.o.Idle > 0 && now.Sub(s.seen) >= a.o.Idle {
			gone = append(gone, s.instance)
		}
	}
	if len(gone) == 0 && !delta {
		return
	}
	// All locks, so that no shard can be left with a series the registry no
	// longer knows.
	a.mu.RLock()
	shards := a.shards
	a.mu.RUnlock()
	for _, s := range shards {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, i := range gone {
		if !slices.ContainsFunc(shards, func(s *Shard) bool { return s.pending(i) }) {
			a.drop(i, shards)
		}
	}
	if delta {
		a.dropIdleSeries(shards)
	}
}

// pending reports whether something happened since the shard was drained.
func (s *Shard) pending(i *instance) bool {
	for _, si := range s.instances {
		if si.instance != i {
			continue
		}
		for _, f := range si.families {
			if f.overflow != nil && f.overflow.pending() {
				return true
			}
			for _, e := range f.entries {
				if e.pending() {
					return true
				}
			}
		}
	}
	return false
}

func (e *entry) pending() bool  { return anyCount(e.histograms) }
func (s *series) pending() bool { return anyCount(s.points) }

func anyCount(hs []histogram) bool {
	for i := range hs {
		if hs[i].count > 0 {
			return true
		}
	}
	return false
}

func (a *Aggregator) drop(i *instance, shards []*Shard) {
	delete(a.instances, i.key)
	for _, s := range shards {
		s.last = nil
		for source, si := range s.instances {
			if si.instance == i {
				delete(s.instances, source)
			}
		}
	}
}

// dropIdleSeries forgets the series that had no points, so that the limit
// holds for an interval, not for ever. All locks are held.
func (a *Aggregator) dropIdleSeries(shards []*Shard) {
	for _, s := range shards {
		for f := range s.families() {
			for _, e := range f.entries {
				e.series.quiet = e.series.quiet && !e.pending()
			}
			if f.overflow != nil {
				f.overflow.series.quiet = f.overflow.series.quiet && !f.overflow.pending()
			}
		}
	}
	for _, s := range shards {
		for f := range s.families() {
			maps.DeleteFunc(f.entries, func(_ string, e *entry) bool { return e.series.quiet })
			if f.last != nil && f.last.series.quiet {
				f.last = nil
			}
			if f.overflow != nil && f.overflow.series.quiet {
				f.overflow = nil
			}
		}
	}
	for _, i := range a.instances {
		for _, f := range i.families {
			maps.DeleteFunc(f.series, func(_ string, s *series) bool { return s.quiet })
			f.ordered = slices.DeleteFunc(f.ordered, func(s *series) bool { return s.quiet })
			if f.overflow != nil && f.overflow.quiet {
				f.overflow = nil
			}
		}
	}
}

// families of all instances in the shard; its mu is held.
func (s *Shard) families() iter.Seq[*shardFamily] {
	return func(yield func(*shardFamily) bool) {
		for _, i := range s.instances {
			for _, f := range i.families {
				if !yield(f) {
					return
				}
			}
		}
	}
}
