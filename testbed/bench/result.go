// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Result of a run.
type Result struct {
	Machine  string                        `json:"machine"`
	Rounds   int                           `json:"rounds"`
	Duration string                        `json:"duration"`
	Samples  map[string]map[mode][]*Sample `json:"samples"`
	Summary  []*Summary                    `json:"summary"`
	Scale    []*Scale                      `json:"scale,omitempty"`
}

// Summary of a scenario in a mode: medians over the rounds. Ratio is the median
// of the ratios of each round to the same round without a collector.
type Summary struct {
	Scenario      string     `json:"scenario"`
	Mode          mode       `json:"mode"`
	PerSec        float64    `json:"requests_per_second,omitempty"`
	Ratio         float64    `json:"throughput_ratio,omitempty"`
	P50, P99      float64    `json:"-"`
	DeltaP50      float64    `json:"delta_p50_us"`
	DeltaP99      float64    `json:"delta_p99_us"`
	NS            float64    `json:"ns_per_operation,omitempty"`
	DeltaNS       float64    `json:"delta_ns_per_operation,omitempty"`
	CollectorCPU  float64    `json:"collector_cpu_us_per_request"`
	ExtraCPU      float64    `json:"extra_machine_cpu_us_per_request"`
	SinkCPU       float64    `json:"sink_cpu_us_per_request"`
	RSS           float64    `json:"rss_mib"`
	RSSPeak       float64    `json:"rss_peak_mib"`
	SpansExpected int        `json:"spans_expected"`
	Exchanges     int        `json:"exchanges"`
	Servers       int        `json:"server_exchanges"`
	Clients       int        `json:"client_exchanges"`
	SpansReceived int        `json:"spans_received"`
	Lost          float64    `json:"lost"`
	Requests      int        `json:"requests"`
	Programs      []*Program `json:"programs,omitempty"`

	// Contexts written, by carrier, and what that costs: medians of the ratios of
	// throughput, and of the CPU time of the machine per request (us) that is
	// more, of each round to the same round without injection.
	Contexts    map[string]float64 `json:"contexts,omitempty"`
	InjectRatio float64            `json:"inject_throughput_ratio,omitempty"`
	InjectCPU   float64            `json:"inject_extra_machine_cpu_us_per_request,omitempty"`
}

func (r *Result) add(scenario string, m mode, s *Sample) {
	if r.Samples[scenario] == nil {
		r.Samples[scenario] = make(map[mode][]*Sample)
	}
	r.Samples[scenario][m] = append(r.Samples[scenario][m], s)
}

func medianOf(samples []*Sample, f func(i int, s *Sample) float64) float64 {
	var v []float64
	for i, s := range samples {
		v = append(v, f(i, s))
	}
	return median(v)
}

func (r *Result) summarise(scenarios []string, modes []mode) {
	for _, name := range scenarios {
		base := r.Samples[name][off]
		for _, m := range modes {
			samples := r.Samples[name][m]
			if len(samples) == 0 {
				continue
			}
			// The statistics pass is no round: compare it with the first.
			pair := func(i int) *Sample { return base[min(i, len(base)-1)] }
			s := &Summary{Scenario: name, Mode: m}
			s.PerSec = medianOf(samples, func(_ int, s *Sample) float64 { return s.PerSec })
			s.P50 = medianOf(samples, func(_ int, s *Sample) float64 { return s.P50 })
			s.P99 = medianOf(samples, func(_ int, s *Sample) float64 { return s.P99 })
			s.NS = medianOf(samples, func(_ int, s *Sample) float64 { return s.NS })
			s.DeltaP50 = medianOf(samples, func(i int, s *Sample) float64 { return s.P50 - pair(i).P50 })
			s.DeltaP99 = medianOf(samples, func(i int, s *Sample) float64 { return s.P99 - pair(i).P99 })
			s.DeltaNS = medianOf(samples, func(i int, s *Sample) float64 { return s.NS - pair(i).NS })
			s.CollectorCPU = medianOf(samples, func(_ int, s *Sample) float64 { return s.CollectorCPU })
			s.SinkCPU = medianOf(samples, func(_ int, s *Sample) float64 { return s.SinkCPU })
			s.ExtraCPU = medianOf(samples, func(i int, s *Sample) float64 { return s.MachineCPU - pair(i).MachineCPU })
			s.RSS = medianOf(samples, func(_ int, s *Sample) float64 { return s.RSS })
			s.Ratio = medianOf(samples, func(i int, s *Sample) float64 {
				if pair(i).PerSec == 0 {
					return 0
				}
				return s.PerSec / pair(i).PerSec
			})
			for _, x := range samples {
				s.Requests += x.Requests
				s.RSSPeak = max(s.RSSPeak, x.RSSPeak)
				s.SpansExpected += x.SpansExpected
				s.Exchanges += x.Exchanges
				s.Servers += x.Servers
				s.Clients += x.Clients
				s.SpansReceived += x.SpansReceived
				for carrier, v := range x.Contexts {
					if s.Contexts == nil {
						s.Contexts = make(map[string]float64)
					}
					s.Contexts[carrier] += v
				}
				for _, v := range x.Lost {
					s.Lost += v
				}
				s.Programs = append(s.Programs, x.Programs...)
			}
			if without := r.Samples[name][receiver]; len(carriers[m]) > 0 && len(without) == len(samples) {
				s.InjectRatio = medianOf(samples, func(i int, s *Sample) float64 { return s.PerSec / without[i].PerSec })
				s.InjectCPU = medianOf(samples, func(i int, s *Sample) float64 { return s.MachineCPU - without[i].MachineCPU })
			}
			r.Summary = append(r.Summary, s)
		}
	}
}

// String is the report people read.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %d rounds of %s, interleaved; medians\n\n", r.Machine, r.Rounds, r.Duration)
	fmt.Fprintf(&b, "%-10s %-9s %9s %7s %9s %9s %10s %10s %8s %8s %9s %10s %10s %10s %10s %6s\n", "scenario", "mode", "req/s", "ratio",
		"dp50 us", "dp99 us", "coll us/rq", "extra us/rq", "sink us", "rss MiB", "peak MiB", "expected", "servers", "clients", "received", "lost")
	for _, s := range r.Summary {
		if s.NS > 0 {
			fmt.Fprintf(&b, "%-10s %-9s %.1f ns per write (%+.1f)\n", s.Scenario, s.Mode, s.NS, s.DeltaNS)
			continue
		}
		fmt.Fprintf(&b, "%-10s %-9s %9.0f %7.3f %+9.1f %+9.1f %10.2f %+10.2f %8.2f %8.1f %9.1f %10d %10d %10d %10d %6.0f\n", s.Scenario, s.Mode, s.PerSec,
			s.Ratio, s.DeltaP50, s.DeltaP99, s.CollectorCPU, s.ExtraCPU, s.SinkCPU, s.RSS, s.RSSPeak, s.SpansExpected, s.Servers, s.Clients, s.SpansReceived, s.Lost)
	}
	if slices.ContainsFunc(r.Summary, func(s *Summary) bool { return s.InjectRatio > 0 }) {
		fmt.Fprintf(&b, "\ninjection, compared with the same round of mode receiver\n%-10s %-9s %7s %12s %12s %12s\n",
			"scenario", "mode", "ratio", "extra us/rq", "options/rq", "headers/rq")
	}
	for _, s := range r.Summary {
		if s.InjectRatio > 0 {
			fmt.Fprintf(&b, "%-10s %-9s %7.3f %+12.2f %12.3f %12.3f\n", s.Scenario, s.Mode, s.InjectRatio, s.InjectCPU,
				s.Contexts[carrierOption]/float64(s.Requests), s.Contexts[carrierHeader]/float64(s.Requests))
		}
	}
	for _, s := range r.Summary {
		if len(s.Programs) == 0 || s.Requests == 0 || s.Mode == bareRun {
			continue
		}
		fmt.Fprintf(&b, "\nBPF programs, %s (the kernel's statistics add about 25 ns to every run)\n%-20s %-14s %12s %9s %9s %9s\n",
			s.Scenario, "program", "type", "runs", "ns/run", "runs/rq", "ns/rq")
		var runs, ns, dataRuns, dataNS uint64
		for _, p := range s.Programs {
			fmt.Fprintf(&b, "%-20s %-14s %12d %9.1f %9.3f %9.1f\n", p.Name, p.Type, p.Runs, float64(p.NS)/float64(p.Runs),
				float64(p.Runs)/float64(s.Requests), float64(p.NS)/float64(s.Requests))
			runs, ns = runs+p.Runs, ns+p.NS
			if dataOperation(p.Name) {
				dataRuns, dataNS = dataRuns+p.Runs, dataNS+p.NS
			}
		}
		fmt.Fprintf(&b, "%-20s %-14s %12d %9.1f %9.3f %9.1f\n", "all", "", runs, float64(ns)/float64(max(runs, 1)),
			float64(runs)/float64(s.Requests), float64(ns)/float64(s.Requests))
		if dataRuns > 0 {
			fmt.Fprintf(&b, "per data operation: %.1f ns, %.2f operations per request\n", float64(dataNS)/float64(dataRuns), float64(dataRuns)/float64(s.Requests))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Samples)) {
		if with, without := r.perRequest(name, statsRun), r.perRequest(name, bareRun); with > 0 && without > 0 {
			fmt.Fprintf(&b, "\nparents within processes, %s: %+.0f ns of %.0f per request, both ends\n", name, with-without, with)
		}
	}
	for _, s := range r.Scale {
		fmt.Fprintf(&b, "\n%s", s)
	}
	var lost []string
	for _, modes := range r.Samples {
		for m, samples := range modes {
			for _, s := range samples {
				for series, v := range s.Lost {
					lost = append(lost, fmt.Sprintf("%s: %s +%g", m, series, v))
				}
			}
		}
	}
	slices.Sort(lost)
	if len(lost) > 0 {
		fmt.Fprintf(&b, "\nlost\n  %s\n", strings.Join(slices.Collect(maps.Keys(countOf(lost))), "\n  "))
	}
	return b.String()
}

// perRequest is the time of all BPF programs, in ns per request at both ends, 0 if not known.
func (r *Result) perRequest(scenario string, m mode) float64 {
	var ns, requests uint64
	for _, s := range r.Summary {
		if s.Scenario == scenario && s.Mode == m {
			requests += uint64(s.Requests)
			for _, p := range s.Programs {
				ns += p.NS
			}
		}
	}
	if requests == 0 {
		return 0
	}
	return float64(ns) / float64(requests)
}

func countOf(list []string) map[string]int {
	m := make(map[string]int)
	for _, s := range list {
		m[s]++
	}
	return m
}

// dataOperation tells the programs that run once per operation that moves
// bytes from those that follow connections and processes.
func dataOperation(name string) bool {
	for _, part := range []string{"send", "recv", "sys_exit", "sendfile", "splice", "uring"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
