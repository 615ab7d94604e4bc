// SPDX-License-Identifier: Apache-2.0

package red

import (
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/workload"
)

// DefaultMaxSeries is the cardinality limit of the OpenTelemetry SDK.
const DefaultMaxSeries = 2000

// Options configure an Aggregator.
type Options struct {
	// Wall converts a monotonic time in ns to wall-clock time; required.
	Wall func(monotonic uint64) pcommon.Timestamp
	// Temporality of the histograms; cumulative unless delta. The in-flight
	// counter is always cumulative, as OTLP exporters of SDKs have it.
	Temporality pmetric.AggregationTemporality
	// Exponential makes exponential histograms of at most MaxSize buckets
	// (DefaultMaxSize if 0) in place of explicit ones.
	Exponential bool
	MaxSize     int
	// MaxSeries bounds the attribute sets per instance, protocol and role,
	// the overflow series among them; DefaultMaxSeries if 0.
	MaxSeries int
	// NoExemplars switches exemplars off.
	NoExemplars bool
	// Peers adds who is at the other end of connections: service.peer.name and
	// service.peer.namespace.
	Peers bool
	// Idle is for how long an instance may be without exchanges, ended or in
	// flight, until its series are dropped; 0 means for ever.
	Idle time.Duration
	// Version of the scope.
	Version string
}

// Aggregator holds the series of all instances. It is safe for concurrent use.
//
// Lock order: collect, a shard's mu, mu.
type Aggregator struct {
	o Options

	// collect is held during collections and guards what only they touch.
	collect sync.Mutex
	last    pcommon.Timestamp // of the last collection, or of New

	// mu guards the registry: which instances, families and series there are.
	mu        sync.RWMutex
	instances map[string]*instance
	shards    []*Shard
}

// instance is a service instance in the registry.
type instance struct {
	key       string
	source    *workload.Instance // mu
	families  []*family          // mu
	forgotten bool               // mu
	seen      time.Time          // collect
}

// family is the series of one protocol and role: the same keys for all its
// instruments.
type family struct {
	protocol    *exchange.Protocol
	role        exchange.Role // server or client
	instruments []exchange.Instrument

	series   map[string]*series // mu
	overflow *series            // mu
	fresh    []*series          // mu: not yet in ordered
	gauges   map[string]*gaugeSeries
	spill    *gaugeSeries
	freshG   []*gaugeSeries

	ordered  []*series      // collect; by key
	orderedG []*gaugeSeries // collect; by key
}

// series is one attribute set and its totals (delta: of the interval).
type series struct {
	key        string
	overflow   bool
	attributes pcommon.Map
	start      pcommon.Timestamp
	points     []histogram // collect
	quiet      bool        // collect: nothing was added in the last interval
}

// gaugeSeries is one attribute set of the in-flight counter.
type gaugeSeries struct {
	key        string
	overflow   bool
	attributes pcommon.Map
	start      pcommon.Timestamp
	value      int64 // collect
}

// New makes an empty Aggregator.
func New(o Options) *Aggregator {
	if o.Temporality != pmetric.AggregationTemporalityDelta {
		o.Temporality = pmetric.AggregationTemporalityCumulative
	}
	if o.MaxSize <= 0 {
		o.MaxSize = DefaultMaxSize
	}
	o.MaxSize = max(o.MaxSize, minMaxSize)
	if o.MaxSeries <= 0 {
		o.MaxSeries = DefaultMaxSeries
	}
	return &Aggregator{
		o:         o,
		last:      pcommon.NewTimestampFromTime(time.Now()),
		instances: map[string]*instance{},
	}
}

// Forget says that an instance is gone. Its series are in the next collection
// for the last time.
func (a *Aggregator) Forget(key string) {
	a.mu.Lock()
	if i := a.instances[key]; i != nil {
		i.forgotten = true
	}
	a.mu.Unlock()
}

// Stats are counts since the start, and sizes now.
type Stats struct {
	// Ended exchanges: Recorded in series of their own or Overflowed, or
	// Suppressed by configuration.
	Ended, Overflowed, Suppressed uint64
	// Invalid values (infinite or negative) that were left out.
	Invalid uint64
	// Instances and Series held, overflow series included.
	Instances, Series int
}

// Stats sums over the shards.
func (a *Aggregator) Stats() Stats {
	a.mu.RLock()
	shards := a.shards
	s := Stats{Instances: len(a.instances)}
	for _, i := range a.instances {
		for _, f := range i.families {
			s.Series += len(f.series) + count(f.overflow != nil)
		}
	}
	a.mu.RUnlock()
	for _, sh := range shards {
		sh.mu.Lock()
		s.Ended += sh.stats.Ended
		s.Overflowed += sh.stats.Overflowed
		s.Suppressed += sh.stats.Suppressed
		s.Invalid += sh.stats.Invalid
		sh.mu.Unlock()
	}
	return s
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// register finds or makes the instance and family in the registry.
func (a *Aggregator) register(source *workload.Instance, p *exchange.Protocol, role exchange.Role) (*instance, *family) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.instances[source.Key]
	if i == nil {
		i = &instance{key: source.Key, source: source, seen: time.Now()}
		a.instances[source.Key] = i
	}
	if i.source != source {
		// The instance was examined anew; the newer resource is truer.
		i.source, i.forgotten = source, false
	}
	for _, f := range i.families {
		if f.protocol == p && f.role == role {
			return i, f
		}
	}
	f := &family{
		protocol: p, role: role, instruments: p.Instruments(role),
		series: map[string]*series{}, gauges: map[string]*gaugeSeries{},
	}
	i.families = append(i.families, f)
	return i, f
}

// admit finds or makes the series with a key; beyond the limit it is the
// overflow series.
func (a *Aggregator) admit(f *family, key []byte, x *exchange.Exchange) *series {
	a.mu.RLock()
	s := f.series[string(key)]
	if s == nil && len(f.series) >= a.o.MaxSeries-1 {
		s = f.overflow
	}
	a.mu.RUnlock()
	if s != nil {
		return s
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	full := len(f.series) >= a.o.MaxSeries-1
	switch s = f.series[string(key)]; {
	case s != nil:
		return s
	case full && f.overflow != nil:
		return f.overflow
	}
	s = &series{attributes: pcommon.NewMap(), start: a.o.Wall(x.Start), points: a.histograms(f.instruments)}
	if full {
		s.overflow = true
		s.attributes.PutBool(overflowAttribute, true)
		f.overflow = s
		return s
	}
	s.key = string(key)
	x.Detail.PutMetricAttributes(x, s.attributes)
	if a.o.Peers {
		x.PutPartyOnMetric(s.attributes)
	}
	f.series[s.key] = s
	f.fresh = append(f.fresh, s)
	return s
}

// admitGauge is admit for the in-flight counter.
func (a *Aggregator) admitGauge(f *family, key []byte, x *exchange.Exchange) *gaugeSeries {
	a.mu.Lock()
	defer a.mu.Unlock()
	full := len(f.gauges) >= a.o.MaxSeries-1
	s := f.gauges[string(key)]
	switch {
	case s != nil:
		return s
	case full && f.spill != nil:
		return f.spill
	}
	s = &gaugeSeries{attributes: pcommon.NewMap(), start: a.o.Wall(x.Start)}
	if full {
		s.overflow = true
		s.attributes.PutBool(overflowAttribute, true)
		f.spill = s
		return s
	}
	s.key = string(key)
	x.Detail.PutActiveAttributes(x, s.attributes)
	f.gauges[s.key] = s
	f.freshG = append(f.freshG, s)
	return s
}

// overflowAttribute marks the series that holds what exceeds the limit:
// https://opentelemetry.io/docs/specs/otel/metrics/sdk/#overflow-attribute
const overflowAttribute = "otel.metric.overflow"

// histograms makes an empty accumulator per instrument.
func (a *Aggregator) histograms(instruments []exchange.Instrument) []histogram {
	hs := make([]histogram, len(instruments))
	total := 0
	for i := range instruments {
		switch {
		case instruments[i].Kind != exchange.Histogram:
		case a.o.Exponential:
			hs[i].exponential = newExponential(a.o.MaxSize)
		default:
			total += len(instruments[i].Bounds) + 1
		}
	}
	buckets := make([]uint64, total)
	for i := range instruments {
		if total > 0 && instruments[i].Kind == exchange.Histogram {
			n := len(instruments[i].Bounds) + 1
			hs[i].buckets, buckets = buckets[:n:n], buckets[n:]
		}
	}
	return hs
}

func compareSeries(a, b *series) int           { return strings.Compare(a.key, b.key) }
func compareGaugeSeries(a, b *gaugeSeries) int { return strings.Compare(a.key, b.key) }
