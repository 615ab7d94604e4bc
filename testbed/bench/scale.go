// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cilium/ebpf"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// scaleOptions say how many processes there are.
type scaleOptions struct {
	hooks               string
	processes, selected int
	rate                int // processes started a second,
	seconds             int // for so long
	steady              time.Duration
	// all: no rules, as by default, so that everything is selected.
	all bool
}

var scaleDefaults = scaleOptions{processes: 1000, selected: 200, rate: 2000, seconds: 10, steady: 5 * time.Second}

// Scale is what many processes cost: a host with many of them, a part of which is
// selected by a rule, and a storm of short-lived ones.
type Scale struct {
	Processes int `json:"processes"`
	Selected  int `json:"selected"`
	// Start of the collector beside them: until the first span, in ms; CPU time of
	// the collector by then, in ms. The same without them.
	StartMS, StartCPU           float64
	StartAloneMS, StartAloneCPU float64
	// SteadyCPU is the collector's share of one CPU while nothing happens, in percent.
	SteadyCPU float64
	// HerdExpected are requests made to all that are selected, and HerdFound those
	// reported; bogus ones are of processes that are not selected.
	HerdExpected, HerdFound, HerdBogus int
	// The storm: processes per second, with the collector and without it, and the CPU
	// time of the collector (us per process), and of the machine, which is more.
	Rate, RateOff            float64
	StormCPU, StormExtra     float64
	StormExpected, StormLost int
	StormBogus               int
	// Memory in MiB: alone, before the storm, at most, and after it.
	RSSAlone, RSSBefore, RSSPeak, RSSAfter float64
	// Entries of the kernel's hash maps, by name, before the storm and after it.
	MapsBefore, MapsAfter map[string]int
	// Goroutines at the end.
	Goroutines int
	Losses     []string
}

// scale measures it, with a collector of its own.
type scale struct {
	scaleOptions
	dir                    string
	storm, selected, other string // programs
	port                   string
	mu                     sync.Mutex
	answered               map[string]bool // paths
}

func runScale(ctx context.Context, o scaleOptions) (*Scale, error) {
	dir, err := os.MkdirTemp("", "otelcol-ebpf-scale")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s := &scale{
		scaleOptions: o, dir: dir, answered: map[string]bool{},
		storm: tool(dir, "storm"), selected: filepath.Join(dir, "selected", "tiny"), other: filepath.Join(dir, "other", "tiny"),
	}
	if err := s.build(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: s}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	_, s.port, _ = net.SplitHostPort(l.Addr().String())
	return s.measure(ctx)
}

func (s *scale) build() error {
	if err := groundtruth.Compile("storm.c", s.storm); err != nil {
		return err
	}
	for _, path := range []string{s.selected, s.other} {
		if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := groundtruth.Compile("tiny.c", path, "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector"); err != nil {
			return err
		}
	}
	return nil
}

// ServeHTTP is the server of the storm's requests: it knows which were made.
func (s *scale) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.answered[r.URL.Path] = true
	s.mu.Unlock()
	_, _ = io.WriteString(w, "ok")
}

func (s *scale) measure(ctx context.Context) (*Scale, error) {
	r := &Scale{Processes: s.processes, Selected: s.scaleOptions.selected}
	if s.all {
		r.Selected = s.processes
	}
	alone, err := s.start(ctx)
	if err != nil {
		return nil, err
	}
	r.StartAloneMS, r.StartAloneCPU, r.RSSAlone = alone.ready, alone.cpu, memory(alone.PID(), "VmRSS")
	if err := alone.close(); err != nil {
		return nil, err
	}

	selected, stop, err := s.herd(ctx, s.selected, s.scaleOptions.selected)
	if err != nil {
		return nil, err
	}
	defer stop()
	others, stop, err := s.herd(ctx, s.other, s.processes-s.scaleOptions.selected)
	if err != nil {
		return nil, err
	}
	defer stop()
	off, err := s.run(ctx, 0)
	if err != nil {
		return nil, err
	}
	r.RateOff = off.rate
	clear(s.answered)

	c, err := s.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.close() }()
	r.StartMS, r.StartCPU = c.ready, c.cpu
	before, err := processCPU(c.PID())
	if err != nil {
		return nil, err
	}
	time.Sleep(s.steady)
	after, err := processCPU(c.PID())
	if err != nil {
		return nil, err
	}
	r.SteadyCPU = 100 * float64(after-before) / float64(s.steady)
	if err := s.ask(ctx, c, r, selected, others); err != nil {
		return nil, err
	}
	return r, s.observeStorm(ctx, c, r, off)
}

// herd starts processes that serve, and returns their ports.
func (s *scale) herd(ctx context.Context, program string, count int) (ports []string, stop func(), err error) {
	cmd := exec.CommandContext(ctx, s.storm, "herd", strconv.Itoa(count), program)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop = func() {
		stdin.Close()
		_ = cmd.Wait()
	}
	for lines := bufio.NewScanner(stdout); len(ports) < count; {
		if !lines.Scan() {
			stop()
			return nil, nil, fmt.Errorf("herd: only %d of %d serve", len(ports), count)
		}
		ports = append(ports, lines.Text())
	}
	return ports, stop, nil
}

// observed is a collector that watches what is selected.
type observed struct {
	*groundtruth.Collector
	sink       *groundtruth.Sink
	ready, cpu float64 // ms
	stopped    bool
}

func (o *observed) close() error {
	if o.stopped {
		return nil
	}
	o.stopped = true
	defer o.sink.Close()
	return o.Stop()
}

func (s *scale) start(ctx context.Context) (*observed, error) {
	sink, err := groundtruth.NewSink()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.dir, "collector")
	if err != nil {
		return nil, err
	}
	options := groundtruth.CollectorOptions{Hooks: s.hooks, Endpoint: sink.Endpoint(), Dir: dir, CollectionInterval: 10 * time.Second}
	if !s.all {
		options.Receiver = fmt.Sprintf("discovery:\n  include:\n    - exe: %q\n", s.selected)
	}
	c, err := groundtruth.StartCollector(options)
	if err != nil {
		sink.Close()
		return nil, err
	}
	o := &observed{Collector: c, sink: sink}
	deadline, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for n := 0; ; n++ {
		id := fmt.Sprintf("ready-%d-%d", c.PID(), n)
		if err := exec.CommandContext(ctx, s.selected, "get", s.port, id).Run(); err != nil {
			_ = o.close()
			return nil, fmt.Errorf("probe: %w", err)
		}
		wait, cancel := context.WithTimeout(deadline, 25*time.Millisecond)
		_, err := sink.Find(wait, func(sp *groundtruth.Span) bool {
			return strings.Contains(sp.Text("url.full"), fmt.Sprintf("/storm/ready-%d-", c.PID()))
		})
		cancel()
		if err == nil {
			break
		}
		if deadline.Err() != nil {
			_ = o.close()
			return nil, fmt.Errorf("collector reports no probe: %w\n%s", deadline.Err(), c.Log())
		}
	}
	o.ready = float64(time.Since(c.Started).Milliseconds())
	cpu, err := processCPU(c.PID())
	o.cpu = float64(cpu.Milliseconds())
	return o, err
}

// ask makes a request of every process of the herd.
func (s *scale) ask(ctx context.Context, c *observed, r *Scale, selected, others []string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	get := func(kind string, ports []string) error {
		for i, port := range ports {
			res, err := client.Get(fmt.Sprintf("http://127.0.0.1:%s/herd/%s%d", port, kind, i))
			if err != nil {
				return err
			}
			res.Body.Close()
		}
		return nil
	}
	if err := errors.Join(get("o", others), get("s", selected)); err != nil {
		return err
	}
	r.HerdExpected = len(selected)
	count := func() (found, bogus int) {
		seen := map[string]bool{}
		for _, sp := range c.sink.Spans() {
			path := sp.Text("url.path")
			switch {
			case strings.HasPrefix(path, "/herd/s") && !seen[path]:
				seen[path] = true
				found++
			case strings.HasPrefix(path, "/herd/") && (!s.all || seen[path]):
				bogus++
			}
		}
		return found, bogus
	}
	settle(ctx, func() bool { found, _ := count(); return found == len(selected) })
	r.HerdFound, r.HerdBogus = count()
	return nil
}

// wanted reports whether the client of a request is selected.
func (s *scale) wanted(path string) bool {
	return strings.HasPrefix(path, "/storm/s") || s.all && strings.HasPrefix(path, "/storm/o")
}

// settle waits a while for something that should come true.
func settle(ctx context.Context, done func() bool) {
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline) && ctx.Err() == nil && !done(); {
		time.Sleep(100 * time.Millisecond)
	}
}

// storm is one that has passed.
type storm struct {
	rate      float64
	processes int
	collector time.Duration // CPU time
	machine   time.Duration
}

func (s *scale) run(ctx context.Context, collector int) (*storm, error) {
	before, err := readCPU(collector)
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, s.storm, "run", strconv.Itoa(s.rate), strconv.Itoa(s.seconds), s.selected, s.other, s.port).Output()
	if err != nil {
		return nil, fmt.Errorf("storm: %w", err)
	}
	after, err := readCPU(collector)
	if err != nil {
		return nil, err
	}
	var failed, ms int
	st := &storm{collector: after.collector - before.collector, machine: after.machine - before.machine}
	if _, err := fmt.Sscan(string(out), &st.processes, &failed, &ms); err != nil {
		return nil, fmt.Errorf("storm said %q: %w", out, err)
	}
	if failed > 0 {
		return nil, fmt.Errorf("storm: %d processes failed", failed)
	}
	st.rate = float64(st.processes) / float64(ms) * 1000
	return st, nil
}

// observeStorm makes a storm and looks for what stays behind.
func (s *scale) observeStorm(ctx context.Context, c *observed, r *Scale, off *storm) error {
	var err error
	if r.MapsBefore, err = mapEntries(c.PID()); err != nil {
		return err
	}
	r.RSSBefore = memory(c.PID(), "VmRSS")
	st, err := s.run(ctx, c.PID())
	if err != nil {
		return err
	}
	n := float64(st.processes)
	r.Rate = st.rate
	r.StormCPU = float64(st.collector.Microseconds()) / n
	r.StormExtra = float64((st.machine - off.machine).Microseconds()) / n
	count := func() (lost, bogus int) {
		seen := map[string]int{}
		for _, sp := range c.sink.Spans() {
			if _, path, ok := strings.Cut(sp.Text("url.full"), "/storm/"); ok && (path[0] == 's' || path[0] == 'o') {
				seen["/storm/"+path]++
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		r.StormExpected = 0
		for path := range s.answered {
			if s.wanted(path) {
				r.StormExpected++
				if seen[path] == 0 {
					lost++
				}
			}
		}
		for path, times := range seen {
			if !s.wanted(path) {
				bogus += times
			} else {
				bogus += times - 1
			}
		}
		return lost, bogus
	}
	settle(ctx, func() bool { lost, _ := count(); return lost == 0 })
	r.StormLost, r.StormBogus = count()
	telemetry, err := c.Telemetry(ctx)
	if err != nil {
		return err
	}
	r.Losses = groundtruth.Losses(telemetry)
	// What is kept of processes that have ended is kept for 10 s, and looked after
	// every 5 s.
	deadline := time.Now().Add(20 * time.Second)
	for {
		if r.MapsAfter, err = mapEntries(c.PID()); err != nil {
			return err
		}
		if len(r.grown()) == 0 || time.Now().After(deadline) {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	r.RSSPeak, r.RSSAfter = memory(c.PID(), "VmHWM"), memory(c.PID(), "VmRSS")
	r.Goroutines, err = c.goroutines()
	return err
}

// slack is by how many entries a map may be larger: what else goes on on this
// machine.
const slack = 100

// grown are the maps that something has stayed behind in. (LRU maps forget by
// themselves.)
func (r *Scale) grown() []string {
	var out []string
	for name, n := range r.MapsAfter {
		if n > r.MapsBefore[name]+slack {
			out = append(out, fmt.Sprintf("%s: %d, %d before", name, n, r.MapsBefore[name]))
		}
	}
	return out
}

// mapEntries counts what the hash maps of a process hold.
func mapEntries(pid int) (map[string]int, error) {
	ids, err := mapIDs(pid)
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return nil, fmt.Errorf("map %d: %w", id, err)
		}
		info, err := m.Info()
		if err == nil && m.Type() == ebpf.Hash {
			n := 0
			var next []byte
			for err = m.NextKey(nil, &next); err == nil && n <= int(m.MaxEntries()); err = m.NextKey(next, &next) {
				n++
			}
			out[info.Name] = n
		}
		m.Close()
	}
	return out, nil
}

// goroutines ends the collector with SIGQUIT, which makes Go print them.
func (o *observed) goroutines() (int, error) {
	o.stopped = true
	defer o.sink.Close()
	if err := syscall.Kill(o.PID(), syscall.SIGQUIT); err != nil {
		return 0, err
	}
	err := o.Stop() // says that it ended badly
	n := strings.Count(o.Log(), "\ngoroutine ")
	if n == 0 {
		return 0, fmt.Errorf("collector printed no goroutines: %w", err)
	}
	return n, nil
}

// String is the part of the report.
func (r *Scale) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d processes, %d of them selected\n", r.Processes, r.Selected)
	fmt.Fprintf(&b, "%-28s %12s %12s\n", "", "alone", "with them")
	fmt.Fprintf(&b, "%-28s %12.0f %12.0f\n", "start to first span, ms", r.StartAloneMS, r.StartMS)
	fmt.Fprintf(&b, "%-28s %12.0f %12.0f\n", "CPU time by then, ms", r.StartAloneCPU, r.StartCPU)
	fmt.Fprintf(&b, "%-28s %12.1f %12.1f\n", "RSS, MiB", r.RSSAlone, r.RSSBefore)
	fmt.Fprintf(&b, "%-28s %12s %12.2f\n", "steady, % of a CPU", "", r.SteadyCPU)
	fmt.Fprintf(&b, "a request to each selected: %d expected, %d found, %d bogus\n", r.HerdExpected, r.HerdFound, r.HerdBogus)
	fmt.Fprintf(&b, "storm: %.0f processes/s (%.0f without the collector), collector %.0f us per process, machine %+.0f us\n", r.Rate, r.RateOff, r.StormCPU, r.StormExtra)
	fmt.Fprintf(&b, "  requests of selected: %d, lost %d, bogus %d\n", r.StormExpected, r.StormLost, r.StormBogus)
	fmt.Fprintf(&b, "  RSS %.1f before, %.1f peak, %.1f after, MiB; %d goroutines after\n", r.RSSBefore, r.RSSPeak, r.RSSAfter, r.Goroutines)
	fmt.Fprintf(&b, "  maps before %v\n  maps after  %v\n", r.MapsBefore, r.MapsAfter)
	if len(r.Losses) > 0 {
		fmt.Fprintf(&b, "  lost: %s\n", strings.Join(r.Losses, "; "))
	}
	return b.String()
}
