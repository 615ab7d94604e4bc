// SPDX-License-Identifier: Apache-2.0

package red

import (
	"math"
	"sync"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/workload"
)

// Shard is the part of an Aggregator that one reader goroutine writes to. It
// holds what happened since the last collection.
type Shard struct {
	aggregator *Aggregator

	mu        sync.Mutex
	instances map[*workload.Instance]*shardInstance
	last      *shardInstance // of the exchange before
	key       []byte
	values    []float64
	stats     Stats
}

type shardInstance struct {
	source   *workload.Instance
	instance *instance
	families []*shardFamily
}

type shardFamily struct {
	family   *family
	entries  map[string]*entry
	last     *entry // of the exchange before
	overflow *entry
	gauges   map[string]*gauge
	lastG    *gauge
	spill    *gauge
}

// entry is a series in a shard.
type entry struct {
	series     *series
	histograms []histogram
}

// gauge is a series of the in-flight counter in a shard.
type gauge struct {
	exchange.Gauge
	series *gaugeSeries
}

// Shard makes another shard. They live as long as the Aggregator.
func (a *Aggregator) Shard() *Shard {
	s := &Shard{aggregator: a, instances: map[*workload.Instance]*shardInstance{}}
	a.mu.Lock()
	a.shards = append(a.shards[:len(a.shards):len(a.shards)], s)
	a.mu.Unlock()
	return s
}

// Begin counts an exchange in flight, where the protocol counts those: on
// servers. It sets x.InFlight. Exchanges without a workload are left out
// everywhere.
func (s *Shard) Begin(x *exchange.Exchange) {
	x.InFlight = nil
	if x.Workload == nil || x.Role != exchange.RoleServer || x.Detail.Protocol().Active.Name == "" {
		return
	}
	if _, metrics := x.Detail.Suppressed(x); metrics {
		return
	}
	s.mu.Lock()
	f := s.family(x)
	s.key = x.Detail.AppendActiveKey(x, s.key[:0])
	g := f.lastG
	if g == nil || g.series.key != string(s.key) {
		g = f.gauges[string(s.key)]
		if g == nil {
			g = s.admitGauge(f, x)
		}
		if !g.series.overflow {
			f.lastG = g
		}
	}
	g.Value++
	x.InFlight = &g.Gauge
	s.mu.Unlock()
}

// Abandon takes Begin back.
func (s *Shard) Abandon(x *exchange.Exchange) {
	if x.InFlight == nil {
		return
	}
	s.mu.Lock()
	x.InFlight.Value--
	s.mu.Unlock()
	x.InFlight = nil
}

// End records a finished exchange. sampled says whether its span was kept, so
// that exemplars only name traces that exist. Nothing of x is kept.
func (s *Shard) End(x *exchange.Exchange, sampled bool) {
	if x.Workload == nil {
		s.Abandon(x)
		return
	}
	_, suppressed := x.Detail.Suppressed(x)
	s.mu.Lock()
	s.stats.Ended++
	if x.InFlight != nil {
		x.InFlight.Value--
		x.InFlight = nil
	}
	if suppressed {
		s.stats.Suppressed++
		s.mu.Unlock()
		return
	}
	f := s.family(x)
	s.key = x.Detail.AppendMetricKey(x, s.key[:0])
	if s.aggregator.o.Peers {
		s.key = x.AppendParty(s.key)
	}
	e := f.last
	if e == nil || e.series.key != string(s.key) {
		e = f.entries[string(s.key)]
		if e == nil {
			e = s.admit(f, x)
		}
		if e.series.overflow {
			s.stats.Overflowed++
		} else {
			f.last = e
		}
	}
	instruments := f.family.instruments
	values := s.values[:len(instruments)]
	x.Detail.Measure(x, values)
	for i, v := range values {
		if math.IsNaN(v) {
			continue
		}
		if v < 0 || math.IsInf(v, 1) {
			s.stats.Invalid++
			continue
		}
		h := &e.histograms[i]
		switch instruments[i].Kind {
		case exchange.Counter:
			h.add(v)
			continue
		case exchange.Gauged:
			h.set(v, x.End)
			continue
		}
		h.record(v, instruments[i].Bounds)
		if sampled && !s.aggregator.o.NoExemplars {
			if h.exemplars == nil {
				h.exemplars = &exemplars{}
			}
			h.exemplars.offer(v, x.End, x.Context.TraceID, x.Context.SpanID)
		}
	}
	s.mu.Unlock()
}

// family finds the family an exchange belongs to.
func (s *Shard) family(x *exchange.Exchange) *shardFamily {
	source := x.Workload.Instance
	i := s.last
	if i == nil || i.source != source {
		i = s.instances[source]
		s.last = i
	}
	p := x.Detail.Protocol()
	client := x.Role == exchange.RoleClient
	if i != nil {
		for _, f := range i.families {
			if f.family.protocol == p && (f.family.role == exchange.RoleClient) == client {
				return f
			}
		}
	}
	return s.register(source, p, client)
}

func (s *Shard) register(source *workload.Instance, p *exchange.Protocol, client bool) *shardFamily {
	role := exchange.RoleServer
	if client {
		role = exchange.RoleClient
	}
	registered, f := s.aggregator.register(source, p, role)
	i := s.instances[source]
	if i == nil {
		i = &shardInstance{source: source, instance: registered}
		s.instances[source] = i
	}
	s.last = i
	sf := &shardFamily{family: f, entries: map[string]*entry{}, gauges: map[string]*gauge{}}
	i.families = append(i.families, sf)
	if n := len(f.instruments); n > len(s.values) {
		s.values = make([]float64, n)
	}
	return sf
}

func (s *Shard) admit(f *shardFamily, x *exchange.Exchange) *entry {
	series := s.aggregator.admit(f.family, s.key, x)
	if series.overflow && f.overflow != nil {
		return f.overflow
	}
	e := &entry{series: series, histograms: s.aggregator.histograms(f.family.instruments)}
	if series.overflow {
		f.overflow = e
	} else {
		f.entries[series.key] = e
	}
	return e
}

func (s *Shard) admitGauge(f *shardFamily, x *exchange.Exchange) *gauge {
	series := s.aggregator.admitGauge(f.family, s.key, x)
	if series.overflow && f.spill != nil {
		return f.spill
	}
	g := &gauge{series: series}
	if series.overflow {
		f.spill = g
	} else {
		f.gauges[series.key] = g
	}
	return g
}
