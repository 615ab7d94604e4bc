// SPDX-License-Identifier: Apache-2.0

package causality

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// Options say what to run.
type Options struct {
	// Scenarios is a regular expression for their names, anchored at the
	// beginning; all of them if empty.
	Scenarios string
	// Concurrency is the connections of the closed loops; every scenario runs
	// once with each.
	Concurrency []int
	// Requests of each run; if 0, 100 or eight per connection, whatever is more.
	Requests int
	// Hooks is the capture backend; automatic if empty.
	Hooks string
	// Receiver is more YAML for the receiver, unindented; LargeRings if empty.
	Receiver string
	// Seed of sizes and delays.
	Seed uint64
	// Dir keeps the collector's configuration and log.
	Dir string
	// Log is told what is being done.
	Log func(format string, args ...any)
	// Hold is called when all is done but nothing has been stopped yet.
	Hold func()
}

// LargeRings keep losses apart: what is measured here are parents, and with 64
// requests at a time on two CPUs the Collector does not always get its turn.
const LargeRings = "limits: {ring_buffer_size: 67108864}\n"

// Run runs scenarios under a collector and checks what it reports.
func Run(ctx context.Context, o Options) (*Result, error) {
	scenarios, err := selectScenarios(o.Scenarios)
	if err != nil {
		return nil, err
	}
	var services []string
	for _, s := range scenarios {
		for _, name := range s.Services() {
			if !slices.Contains(services, name) {
				services = append(services, name)
			}
		}
	}
	began := time.Now()
	if err := Build(ctx, services); err != nil {
		return nil, err
	}
	o.Log("built after %.1f s", time.Since(began).Seconds())
	fleet, err := startFleet(ctx, o.Dir, services)
	if err != nil {
		return nil, err
	}
	defer fleet.stop()
	o.Log("%d services run after %.1f s", len(fleet), time.Since(began).Seconds())
	sink, err := NewSink()
	if err != nil {
		return nil, err
	}
	defer sink.Close()
	collector, err := startCollector(o, fleet, sink)
	if err != nil {
		return nil, err
	}
	stop := sync.OnceValue(collector.Stop)
	defer func() { _ = stop() }()
	if err := ready(ctx, collector, fleet, sink); err != nil {
		return nil, err
	}
	o.Log("collector ready after %.1f s", time.Since(began).Seconds())
	var cases []*Case
	for _, s := range scenarios {
		for _, n := range o.Concurrency {
			c := load(ctx, s, n, o, fleet.find(s.Root.Service))
			cases = append(cases, c)
			o.Log("%-20s %3d: %d requests in %.1f s", c.Scenario, c.Concurrency, c.Requests, c.Seconds)
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
	}
	spans := drain(ctx, sink, cases)
	if o.Hold != nil {
		o.Hold()
	}
	telemetry, err := collector.Telemetry(ctx)
	if err != nil {
		return nil, fmt.Errorf("collector telemetry: %w", err)
	}
	if err := stop(); err != nil {
		return nil, err
	}
	result := Check(cases, fleet.processes(), spans)
	result.Hooks, result.Lost = o.Hooks, groundtruth.Losses(telemetry)
	return result, nil
}

func selectScenarios(pattern string) ([]*Scenario, error) {
	re, err := regexp.Compile("^(?:" + pattern + ")")
	if err != nil {
		return nil, err
	}
	all := Scenarios()
	chosen := slices.DeleteFunc(slices.Clone(all), func(s *Scenario) bool { return !re.MatchString(s.Name) })
	if len(chosen) == 0 {
		var names []string
		for _, s := range all {
			names = append(names, s.Name)
		}
		return nil, fmt.Errorf("no scenario matches %q; there are %s", pattern, strings.Join(names, ", "))
	}
	return chosen, nil
}

// startCollector starts a collector that observes the services and nothing else.
func startCollector(o Options, f fleet, sink *Sink) (*groundtruth.Collector, error) {
	dir := filepath.Join(o.Dir, "collector")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var receiver strings.Builder
	receiver.WriteString("sampler: {name: always_on}\ndiscovery:\n  include:\n")
	for _, i := range f {
		fmt.Fprintf(&receiver, "    - {service_name: %s, pids: [%s]}\n", i.name, strings.Trim(strings.ReplaceAll(fmt.Sprint(i.pids), " ", ", "), "[]"))
	}
	receiver.WriteString(cmp.Or(o.Receiver, LargeRings))
	return groundtruth.StartCollector(groundtruth.CollectorOptions{
		Hooks: o.Hooks, Receiver: receiver.String(), Endpoint: sink.Endpoint(), Compression: "none", TracesOnly: true, Dir: dir,
	})
}

// ready waits until spans of every service come.
func ready(ctx context.Context, c *groundtruth.Collector, f fleet, sink *Sink) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	waiting := slices.Clone(f)
	for seen := 0; len(waiting) > 0; {
		if err := waiting.each(func(i *instance) error { return get(ctx, i.url(probePath(i.name))) }); err != nil {
			return fmt.Errorf("%w\n%s", err, c.Log())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the collector does not report %s\n%s", waiting[0].name, c.Log())
		case <-time.After(50 * time.Millisecond):
		}
		spans, _ := sink.Spans()
		for ; seen < len(spans); seen++ {
			_, name, _, _ := parsePath(spans[seen].Path)
			waiting = slices.DeleteFunc(waiting, func(i *instance) bool { return i.name == name })
		}
	}
	return nil
}

// load makes the requests of a scenario, in a closed loop.
func load(ctx context.Context, s *Scenario, concurrency int, o Options, entry *instance) *Case {
	c := &Case{Scenario: s.Name, Concurrency: concurrency, Requests: cmp.Or(o.Requests, max(100, 8*concurrency))}
	random := rand.New(rand.NewPCG(o.Seed, uint64(concurrency)))
	for n := range c.Requests {
		c.requests = append(c.requests, newRequest(s, fmt.Sprintf("c%d-%05d", concurrency, n), random))
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	began := time.Now()
	_ = groundtruth.Each(c.Requests, concurrency, func(n int) error {
		r := c.requests[n]
		if err := do(ctx, client, entry.url(r.Path("0")), r); err != nil {
			mu.Lock()
			defer mu.Unlock()
			r.Failed = true
			c.Failed++
			if c.Failure == "" {
				c.Failure = err.Error()
			}
		}
		return ctx.Err()
	})
	c.Seconds = time.Since(began).Seconds()
	return c
}

func do(ctx context.Context, client *http.Client, url string, r *Request) error {
	method, body := http.MethodGet, io.Reader(nil)
	if r.In > 0 {
		method, body = http.MethodPost, bytes.NewReader(make([]byte, r.In))
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", res.Status, b[:min(len(b), 500)])
	case len(b) != r.Out:
		return fmt.Errorf("%d bytes instead of %d", len(b), r.Out)
	}
	return nil
}

// drain waits until all spans have come, or no more come.
func drain(ctx context.Context, sink *Sink, cases []*Case) []*Span {
	expected := 0
	for _, c := range cases {
		for _, r := range c.requests {
			expected += 2*len(r.Scenario.Hops()) - 1
		}
	}
	const settle, patience = 300 * time.Millisecond, 3 * time.Second
	began := time.Now()
	for seen, count := 0, 0; ; {
		spans, last := sink.Spans()
		for ; seen < len(spans); seen++ {
			if !strings.HasPrefix(spans[seen].Path, "/"+probe+"/") {
				count++
			}
		}
		quiet := min(time.Since(last), time.Since(began))
		if ctx.Err() != nil || count >= expected && quiet > settle || quiet > patience {
			return spans
		}
		time.Sleep(20 * time.Millisecond)
	}
}
