// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// bpfStatsRunTime is BPF_STATS_RUN_TIME of enum bpf_stats_type (Linux 5.8).
const bpfStatsRunTime = 0

// ticks is USER_HZ: the unit of CPU times in /proc, 1/100 s on every Linux
// architecture we build for.
const ticks = 100

func cpus() int { return runtime.NumCPU() }

// Sample is what one scenario in one mode gave.
type Sample struct {
	Requests int     `json:"requests"`
	PerSec   float64 `json:"requests_per_second"`
	P50      float64 `json:"p50_us"`
	P99      float64 `json:"p99_us"`
	// NS per operation of the bystander.
	NS float64 `json:"ns_per_operation,omitempty"`
	// MachineCPU is busy time of all CPUs, CollectorCPU that of the
	// collector, SinkCPU that of this process, all in us per request.
	MachineCPU   float64 `json:"machine_cpu_us"`
	CollectorCPU float64 `json:"collector_cpu_us"`
	SinkCPU      float64 `json:"sink_cpu_us"`
	// RSS of the collector in MiB: the median during the load, and its peak.
	RSS     float64 `json:"rss_mib"`
	RSSPeak float64 `json:"rss_peak_mib"`
	// Spans expected of the requests, exchanges the receiver counted, spans
	// that came to the sink.
	SpansExpected int `json:"spans_expected"`
	Exchanges     int `json:"exchanges"`
	Servers       int `json:"server_exchanges"`
	Clients       int `json:"client_exchanges"`
	SpansReceived int `json:"spans_received"`
	// Contexts written, by carrier.
	Contexts map[string]float64 `json:"contexts,omitempty"`
	Lost     map[string]float64 `json:"lost,omitempty"`
	Programs []*Program         `json:"programs,omitempty"`
}

type cpuTimes struct{ machine, collector, self time.Duration }

func readCPU(collector int) (cpuTimes, error) {
	var t cpuTimes
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t, err
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	for i, f := range strings.Fields(line)[1:] {
		if i == 3 || i == 4 || i >= 7 { // idle, iowait; steal and guest are not ours
			continue
		}
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return t, err
		}
		t.machine += time.Duration(n) * time.Second / ticks
	}
	if t.self, err = processCPU(os.Getpid()); err != nil || collector == 0 {
		return t, err
	}
	t.collector, err = processCPU(collector)
	return t, err
}

// processCPU is utime + stime of /proc/PID/stat.
func processCPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("short /proc/PID/stat")
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticks, err
}

// memory reads a VmXXX line of /proc/PID/status, in MiB.
func memory(pid int, key string) float64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

func (b *bench) measure(ctx context.Context, s scenario, c *groundtruth.Collector, counter *groundtruth.Counter) (*Sample, error) {
	pid := 0
	var rss []float64
	stop := make(chan struct{})
	sampling := make(chan struct{})
	var telemetry map[string]float64
	spans := int64(0)
	if c != nil {
		pid = c.PID()
		spans = counter.Spans()
		var err error
		if telemetry, err = c.Telemetry(ctx); err != nil {
			return nil, fmt.Errorf("collector telemetry: %w", err)
		}
	}
	go func() {
		defer close(sampling)
		for pid != 0 {
			select {
			case <-stop:
				return
			case <-time.After(250 * time.Millisecond):
				rss = append(rss, memory(pid, "VmRSS"))
			}
		}
	}()
	before, err := readCPU(pid)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	l, err := s.run(ctx)
	elapsed := time.Since(begin)
	close(stop)
	<-sampling
	if err != nil {
		return nil, err
	}
	// What the collector still has to do for these requests is part of their
	// cost.
	if c != nil && s.spans > 0 {
		if err := drained(ctx, c, counter); err != nil {
			return nil, err
		}
	}
	after, err := readCPU(pid)
	if err != nil {
		return nil, err
	}
	sample := &Sample{Requests: l.requests, PerSec: float64(l.requests) / elapsed.Seconds(), P50: l.p50, P99: l.p99, NS: l.ns}
	if l.requests > 0 {
		per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(l.requests) }
		sample.MachineCPU = per(after.machine - before.machine)
		sample.CollectorCPU = per(after.collector - before.collector)
		sample.SinkCPU = per(after.self - before.self)
		sample.SpansExpected = l.requests * s.spans
	}
	if c == nil {
		return sample, nil
	}
	sample.RSS, sample.RSSPeak = median(rss), memory(pid, "VmHWM")
	sample.SpansReceived = int(counter.Spans() - spans)
	now, err := c.Telemetry(ctx)
	if err != nil {
		return nil, fmt.Errorf("collector telemetry: %w", err)
	}
	sample.Servers = int(sum(now, "receiver_ebpf_exchanges", `role="server"`) - sum(telemetry, "receiver_ebpf_exchanges", `role="server"`))
	sample.Clients = int(sum(now, "receiver_ebpf_exchanges", `role="client"`) - sum(telemetry, "receiver_ebpf_exchanges", `role="client"`))
	sample.Exchanges = sample.Servers + sample.Clients
	for _, carrier := range carriers[injectBoth] {
		if v := contexts(now, carrier) - contexts(telemetry, carrier); v > 0 {
			if sample.Contexts == nil {
				sample.Contexts = make(map[string]float64)
			}
			sample.Contexts[carrier] = v
		}
	}
	for series, v := range now {
		if name, _, _ := strings.Cut(series, "{"); strings.Contains(name, "lost") && v > telemetry[series] {
			if sample.Lost == nil {
				sample.Lost = make(map[string]float64)
			}
			sample.Lost[series] = v - telemetry[series]
		}
	}
	return sample, nil
}

// contexts is how many a collector has written so far.
func contexts(telemetry map[string]float64, carrier string) float64 {
	return telemetry[fmt.Sprintf("otelcol_receiver_ebpf_contexts{carrier=%q}", carrier)]
}

// drained waits until neither exchanges nor spans come any more.
func drained(ctx context.Context, c *groundtruth.Collector, counter *groundtruth.Counter) error {
	last, same := "", 0
	for deadline := time.Now().Add(15 * time.Second); same < 2 && time.Now().Before(deadline); {
		time.Sleep(250 * time.Millisecond)
		telemetry, err := c.Telemetry(ctx)
		if err != nil {
			return fmt.Errorf("collector telemetry: %w", err)
		}
		// Not those of clients: this request was one, where this process is selected.
		state := fmt.Sprint(sum(telemetry, "receiver_ebpf_exchanges", `role="server"`), counter.Spans())
		if state == last {
			same++
		} else {
			last, same = state, 0
		}
	}
	return nil
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	if len(v)%2 == 1 {
		return v[len(v)/2]
	}
	return (v[len(v)/2-1] + v[len(v)/2]) / 2
}

// Program is a BPF program of the collector and what it did during a scenario.
type Program struct {
	ID   ebpf.ProgramID `json:"-"`
	Name string         `json:"name"`
	Type string         `json:"type"`
	Runs uint64         `json:"runs"`
	NS   uint64         `json:"ns"`

	runs, ns uint64 // when last read
}

func programIDs() ([]ebpf.ProgramID, error) {
	var ids []ebpf.ProgramID
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return ids, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list BPF programs: %w", err)
		}
		ids = append(ids, next)
		id = next
	}
}

// newPrograms are the programs that were loaded since: the collector's.
func newPrograms(before []ebpf.ProgramID) ([]*Program, error) {
	ids, err := programIDs()
	if err != nil {
		return nil, err
	}
	var out []*Program
	for _, id := range ids {
		if slices.Contains(before, id) {
			continue
		}
		p := &Program{ID: id}
		if err := p.read(); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (p *Program) read() error {
	prog, err := ebpf.NewProgramFromID(p.ID)
	if err != nil {
		return err
	}
	defer prog.Close()
	info, err := prog.Info()
	if err != nil {
		return err
	}
	stats, err := prog.Stats()
	if err != nil {
		return err
	}
	p.Name, p.Type = info.Name, prog.Type().String()
	p.Runs, p.NS = stats.RunCount-p.runs, uint64(stats.Runtime.Nanoseconds())-p.ns
	p.runs, p.ns = stats.RunCount, uint64(stats.Runtime.Nanoseconds())
	return nil
}

// advance reads all programs and returns what they did since they were read.
func advance(programs []*Program) ([]*Program, error) {
	var out []*Program
	for _, p := range programs {
		if err := p.read(); err != nil {
			if errors.Is(err, os.ErrNotExist) { // a probe program, unloaded by now
				continue
			}
			return nil, err
		}
		if p.Runs > 0 {
			done := *p
			out = append(out, &done)
		}
	}
	return out, nil
}

// forgetRuntimes lets the probes know nothing of how processes work, also those that are
// started meanwhile, until its result is called.
func forgetRuntimes(collector int) (stop func(), err error) {
	const often = 5 * time.Millisecond
	m, err := mapOf(collector, "runtimes")
	if err != nil {
		return nil, err
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer m.Close()
		for {
			select {
			case <-done:
				return
			case <-time.After(often):
			}
			var pid uint32
			for m.NextKey(nil, &pid) == nil && m.Delete(pid) == nil {
			}
		}
	}()
	return func() { close(done); <-ended }, nil
}

// mapOf is a BPF map of a process's, by its name.
func mapOf(pid int, name string) (*ebpf.Map, error) {
	ids, err := mapIDs(pid)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return nil, fmt.Errorf("map %d: %w", id, err)
		}
		info, err := m.Info()
		if err == nil && info.Name == name {
			return m, nil
		}
		m.Close()
	}
	return nil, fmt.Errorf("process %d has no BPF map %q", pid, name)
}

// mapIDs are those of the BPF maps that a process holds.
func mapIDs(pid int) (ids []ebpf.MapID, err error) {
	infos, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		return nil, err
	}
	for _, path := range infos {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // closed meanwhile
		}
		_, after, ok := strings.Cut(string(b), "\nmap_id:")
		if !ok {
			continue
		}
		line, _, _ := strings.Cut(after, "\n")
		id, err := strconv.ParseUint(strings.TrimSpace(line), 10, 32)
		if err != nil {
			return nil, err
		}
		ids = append(ids, ebpf.MapID(id))
	}
	return ids, nil
}
