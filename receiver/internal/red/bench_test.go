// SPDX-License-Identifier: Apache-2.0

package red

import (
	"fmt"
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/route"
)

// exchanges of HTTP servers with n different routes, heads already parsed.
func exchanges(b *testing.B, n int) []*exchange.Exchange {
	w := newInstance("shop")
	table := intern.New(0)
	var list []*exchange.Exchange
	var patterns []string
	for i := range n {
		patterns = append(patterns, fmt.Sprintf("/api/resource%d/{id}", i))
	}
	routes, err := route.New(route.Options{Patterns: patterns})
	if err != nil {
		b.Fatal(err)
	}
	settings, err := httpconv.NewSettings("", httpconv.Options{Routes: routes})
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		d := &httpconv.Detail{Settings: settings, Strings: table}
		d.Reset()
		d.Version = httpconv.Version11
		d.Method = append(d.Method, "GET"...)
		d.Target = fmt.Appendf(d.Target, "/api/resource%d/42", i)
		d.Host = append(d.Host, "shop.example.com"...)
		d.Status, d.RequestBody, d.ResponseBody = 200, 0, 5120
		list = append(list, &exchange.Exchange{Workload: w, Role: exchange.RoleServer, Detail: d, Start: 1e9, End: 1e9 + 3e6})
	}
	return list
}

func benchmarkEnd(b *testing.B, o Options, routes int, sampled bool) {
	a := newAggregator(b, o)
	s := a.Shard()
	list := exchanges(b, routes)
	for _, x := range list {
		s.End(x, sampled)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.End(list[i], sampled)
		if i++; i == len(list) {
			i = 0
		}
	}
}

// Three histograms of one HTTP exchange.
func BenchmarkEndSameSeries(b *testing.B)  { benchmarkEnd(b, Options{}, 1, false) }
func BenchmarkEnd100Series(b *testing.B)   { benchmarkEnd(b, Options{}, 100, false) }
func BenchmarkEndExemplars(b *testing.B)   { benchmarkEnd(b, Options{}, 100, true) }
func BenchmarkEndExponential(b *testing.B) { benchmarkEnd(b, Options{Exponential: true}, 100, false) }

func BenchmarkBeginEnd(b *testing.B) {
	a := newAggregator(b, Options{})
	s := a.Shard()
	list := exchanges(b, 100)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.Begin(list[i%100])
		s.End(list[i%100], false)
		i++
	}
}

func BenchmarkCollect1000Series(b *testing.B) {
	a := newAggregator(b, Options{})
	s := a.Shard()
	for _, x := range exchanges(b, 1000) {
		s.End(x, false)
	}
	b.ReportAllocs()
	for b.Loop() {
		a.Collect(at(10))
	}
}
