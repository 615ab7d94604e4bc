// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// connections of the closed loops.
const connections = 16

// bench owns the servers, which live through all rounds, so that the same
// processes are measured in every mode.
type bench struct {
	o         options
	dir       string
	nowhere   string
	nginx     *groundtruth.Nginx
	goServer  *groundtruth.Process
	postgres  *postgres
	redis     *groundtruth.Process // nil if no scenario wants it
	redisPort string
	scenarios []scenario
	runs      int
}

// scenario is a load; it returns what it measured itself.
type scenario struct {
	name string
	run  func(ctx context.Context) (load, error)
	// spans per request: one per side.
	spans int
}

// load is what a load generator reports.
type load struct {
	requests int
	p50, p99 float64 // us
	ns       float64 // per operation, of the bystander
}

func newBench(dir string, o options) (*bench, error) {
	b := &bench{o: o, dir: dir}
	var err error
	if b.nowhere, err = nowhereExporter(); err != nil {
		return nil, err
	}
	if err := groundtruth.Compile("bystander.c", tool(dir, "bystander")); err != nil {
		return nil, err
	}
	build := exec.Command("go", "build", "-o", tool(dir, "gohttp"), "./testbed/bench/gohttp")
	build.Dir = groundtruth.Root()
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build gohttp: %w\n%s", err, out)
	}
	if err := copyTool("wrk", dir); err != nil {
		return nil, err
	}
	if b.nginx, err = groundtruth.StartNginx(dir, 1, 0); err != nil {
		return nil, err
	}
	if b.goServer, err = groundtruth.StartServer(dir, tool(dir, "gohttp"), "-server"); err != nil {
		b.close()
		return nil, err
	}
	for _, s := range []scenario{{"nginx", b.wrk, 2}, {"go", b.goLoad, 2}, {"bystander", b.bystander, 0}, {"postgresql", b.pgbench, 2}} {
		if slices.Contains(strings.Split(o.scenarios, ","), s.name) {
			b.scenarios = append(b.scenarios, s)
			if s.name != "postgresql" {
				continue
			}
			if b.postgres, err = startPostgres(dir); err != nil {
				b.close()
				return nil, err
			}
		}
	}
	for _, name := range []string{"redis", "redis16"} {
		if !slices.Contains(strings.Split(o.scenarios, ","), name) {
			continue
		}
		if b.redis == nil {
			if err := b.startRedis(); err != nil {
				b.close()
				return nil, err
			}
		}
		b.scenarios = append(b.scenarios, scenario{name, b.redisLoad(redisPipelines[name]), 2})
	}
	return b, nil
}

func (b *bench) close() {
	if b.redis != nil {
		_ = b.redis.Stop(0)
	}
	if b.nginx != nil {
		_ = b.nginx.Stop(0)
	}
	if b.goServer != nil {
		_ = b.goServer.Cmd.Process.Kill()
		_ = b.goServer.Wait(time.Second)
	}
	if b.postgres != nil {
		b.postgres.stop()
	}
}

// copyTool copies a program, so that it can be told from others of its name.
func copyTool(name, dir string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(tool(dir, name), b, 0o755)
}

// nowhereExporter is nop where the distribution has it, else debug, which logs
// a line per batch.
func nowhereExporter() (string, error) {
	binary, err := groundtruth.Binary()
	if err != nil {
		return "", err
	}
	out, err := exec.Command(binary, "components").Output()
	if err != nil {
		return "", fmt.Errorf("list components: %w", err)
	}
	if bytes.Contains(out, []byte("nopexporter")) {
		return "nop", nil
	}
	return "debug", nil
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in`)
	wrkQuantile = regexp.MustCompile(`(?m)^\s+(50|99)%\s+([\d.]+)(us|ms|s)`)
)

func (b *bench) wrk(ctx context.Context) (load, error) {
	url := fmt.Sprintf("http://127.0.0.1:%d/bench/users/12345/orders?page=2", b.nginx.Return)
	out, err := exec.CommandContext(ctx, tool(b.dir, "wrk"), "-t1", "-c", strconv.Itoa(connections), "--latency", "-d", wrkDuration(b.o.duration), url).CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	var l load
	if m := wrkRequests.FindSubmatch(out); m != nil {
		l.requests, _ = strconv.Atoi(string(m[1]))
	}
	for _, m := range wrkQuantile.FindAllSubmatch(out, -1) {
		v, _ := strconv.ParseFloat(string(m[2]), 64)
		v *= map[string]float64{"us": 1, "ms": 1e3, "s": 1e6}[string(m[3])]
		if string(m[1]) == "50" {
			l.p50 = v
		} else {
			l.p99 = v
		}
	}
	return l, nil
}

// wrkDuration is in whole seconds, which is all wrk knows.
func wrkDuration(d time.Duration) string { return fmt.Sprintf("%ds", max(1, int(d.Seconds()))) }

func (b *bench) goLoad(ctx context.Context) (load, error) {
	url := fmt.Sprintf("http://127.0.0.1:%d/bench/users/12345/orders?page=2", b.goServer.Port)
	out, err := exec.CommandContext(ctx, tool(b.dir, "gohttp"), "-url", url, "-c", strconv.Itoa(connections), "-d", b.o.duration.String()).Output()
	if err != nil {
		return load{}, fmt.Errorf("gohttp: %w", err)
	}
	var l load
	failed := 0
	if _, err := fmt.Sscan(string(out), &l.requests, &failed, &l.p50, &l.p99); err != nil {
		return load{}, fmt.Errorf("gohttp said %q: %w", out, err)
	}
	if failed > 0 {
		return load{}, fmt.Errorf("gohttp: %d requests failed", failed)
	}
	return l, nil
}

func (b *bench) bystander(ctx context.Context) (load, error) {
	ms := strconv.FormatInt(min(b.o.duration, time.Second).Milliseconds(), 10)
	out, err := exec.CommandContext(ctx, tool(b.dir, "bystander"), ms).Output()
	if err != nil {
		return load{}, fmt.Errorf("bystander: %w", err)
	}
	var l load
	_, err = fmt.Sscan(string(out), &l.ns)
	return l, err
}

// round runs all scenarios in one mode, with a collector of its own.
func (b *bench) round(ctx context.Context, m mode, result *Result) error {
	if m == off {
		for _, s := range b.scenarios {
			sample, err := b.measure(ctx, s, nil, nil)
			if err != nil {
				return err
			}
			result.add(s.name, m, sample)
		}
		return nil
	}
	b.runs++
	counter, err := groundtruth.NewCounter()
	if err != nil {
		return err
	}
	defer counter.Close()
	o := groundtruth.CollectorOptions{
		Hooks: b.o.hooks, Compression: b.o.compression, Dir: filepath.Join(b.dir, fmt.Sprintf("collector-%d", b.runs)),
		BatchTimeout: 200 * time.Millisecond, CollectionInterval: 10 * time.Second,
		Receiver: b.o.settings(m),
	}
	// The loads alone: what else this machine does is not measured. But where
	// contexts are written, all processes that are new are selected, because load
	// generators connect at once, before a rule could have selected them.
	if b.o.inject {
		others, err := b.others()
		if err != nil {
			return err
		}
		o.Receiver += fmt.Sprintf("discovery:\n  exclude:\n    - pids: [%s]\n", others)
	} else {
		o.Receiver += fmt.Sprintf("discovery:\n  include:\n    - pids: [%d]\n    - exe: %q\n", b.nginx.Workers[0], filepath.Join(b.dir, "*"))
	}
	if b.postgres != nil {
		o.Receiver += fmt.Sprintf("    - exe: %q\n", filepath.Join(b.postgres.bin, "postgres"))
	}
	switch m {
	case export, sampled:
		o.Endpoint = counter.Endpoint()
	default:
		o.NowhereExporter = b.nowhere
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return err
	}
	var before []ebpf.ProgramID
	statistics := slices.Contains(withStatistics, m)
	if statistics {
		stats, err := ebpf.EnableStats(uint32(bpfStatsRunTime))
		if err != nil {
			return fmt.Errorf("enable BPF statistics: %w", err)
		}
		defer stats.Close()
		if before, err = programIDs(); err != nil {
			return err
		}
	}
	c, err := groundtruth.StartCollector(o)
	if err != nil {
		return err
	}
	defer func() { _ = c.Stop() }()
	if err := b.ready(ctx, c, slices.Contains(carriers[m], carrierHeader)); err != nil {
		return err
	}
	var programs []*Program
	if statistics {
		if programs, err = newPrograms(before); err != nil {
			return err
		}
	}
	for _, s := range b.scenarios {
		if statistics && s.spans == 0 {
			continue
		}
		remember := func() {}
		if m == bareRun {
			if remember, err = forgetRuntimes(c.PID()); err != nil {
				return err
			}
		}
		sample, err := b.measure(ctx, s, c, counter)
		remember()
		if err != nil {
			return err
		}
		if statistics {
			if sample.Programs, err = advance(programs); err != nil {
				return err
			}
		}
		result.add(s.name, m, sample)
	}
	stopped := c.Stop()
	return stopped
}

// others are the processes there are, but for the servers and this one, as a list in
// YAML. (What this process starts has its verdict until it is judged itself.)
func (b *bench) others() (string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return "", err
	}
	var pids []string
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && pid != b.nginx.Workers[0] && pid != b.goServer.PID() && pid != os.Getpid() {
			pids = append(pids, e.Name())
		}
	}
	return strings.Join(pids, ", "), nil
}

// ready waits until the collector counts exchanges of its own accord: until a
// request made to the Go server shows in its telemetry. headers: and until several
// requests on a connection get a header, which is when it is known of a program that
// its sockets may be treated so.
func (b *bench) ready(ctx context.Context, c *groundtruth.Collector, headers bool) error {
	deadline := time.Now().Add(20 * time.Second)
	written, runs := 0.0, 0
	url := fmt.Sprintf("http://127.0.0.1:%d/ready", b.goServer.Port)
	for {
		// A request of a program that is selected, on both ends.
		if err := exec.CommandContext(ctx, tool(b.dir, "gohttp"), "-url", url, "-c", "1", "-d", "5ms").Run(); err != nil {
			return fmt.Errorf("probe: %w", err)
		}
		time.Sleep(100 * time.Millisecond)
		telemetry, err := c.Telemetry(ctx)
		if err == nil && sum(telemetry, "receiver_ebpf_exchanges") > 0 {
			now := contexts(telemetry, carrierHeader)
			if !headers || runs > 0 && now-written > 2 {
				return nil
			}
			written, runs = now, runs+1
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("collector counts no exchanges, or writes no headers\n%s", c.Log())
		}
	}
}

// sum adds up the series of a metric that have all labels.
func sum(telemetry map[string]float64, name string, labels ...string) float64 {
	total := 0.0
	for series, v := range telemetry {
		metric, has, _ := strings.Cut(series, "{")
		if strings.Contains(metric, name) && !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(has, l) }) {
			total += v
		}
	}
	return total
}
