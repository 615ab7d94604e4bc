// SPDX-License-Identifier: Apache-2.0

// bench measures what observing costs, as ratios of runs side by side: rounds of
// the same load without a collector, with one that exports every span to a local
// sink, with one that samples a tenth, and with one whose pipeline ends nowhere.
// It needs root. The order of the modes changes from round to round.
//
// With -inject it measures instead what writing contexts into requests costs: with a
// pipeline that ends nowhere each, without injection, by either carrier, and by both.
//
//	go run ./testbed/bench [-rounds 3] [-duration 4s] [-inject] [-json FILE]
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

type options struct {
	rounds      int
	duration    time.Duration
	hooks       string
	compression string
	scenarios   string
	inject      bool
	json        string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; each runs every scenario in every mode")
	flag.DurationVar(&o.duration, "duration", 4*time.Second, "of the load of one scenario in one mode")
	flag.StringVar(&o.hooks, "hooks", "", "capture backend: sock, sys_exit; empty is automatic")
	flag.StringVar(&o.compression, "compression", "none", "of the exporter: gzip, zstd, none (the sink is on this machine)")
	flag.StringVar(&o.scenarios, "scenarios", "nginx,go,redis,redis16,postgresql,bystander,scale", "which to run; redis16 has 16 commands a pipeline, scale is many processes, by a rule and by default")
	flag.BoolVar(&o.inject, "inject", false, "measure context injection, on nginx and go")
	flag.StringVar(&o.json, "json", "", "file for the results as JSON")
	flag.Parse()
	if o.inject && !flagGiven("scenarios") {
		o.scenarios = "nginx,go"
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	result, err := run(ctx, o, func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	fmt.Print(result)
	if o.json != "" {
		b, err := json.MarshalIndent(result, "", "  ")
		if err == nil {
			err = os.WriteFile(o.json, append(b, '\n'), 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
	}
}

// mode is a way to run the collector.
type mode string

const (
	off      mode = "off"      // no collector
	export   mode = "export"   // every span over OTLP/gRPC to a local sink
	sampled  mode = "sampled"  // parentbased_traceidratio 0.1, exported the same way
	receiver mode = "receiver" // every span built, then dropped by the pipeline's end
	statsRun mode = "stats"    // like the last mode, with the kernel's BPF statistics on
	bareRun  mode = "bare"     // like the last mode, with nothing known of how processes work: no parents in them

	// Like receiver, with context_propagation.inject.
	injectOption mode = "option"
	injectHeader mode = "header"
	injectBoth   mode = "both"
)

// withStatistics are the last passes.
var withStatistics = []mode{statsRun, bareRun}

// carriers are the values of context_propagation.inject in a mode.
var carriers = map[mode][]string{
	injectOption: {carrierOption},
	injectHeader: {carrierHeader},
	injectBoth:   {carrierOption, carrierHeader},
}

const (
	carrierOption = "tcp_option"
	carrierHeader = "http_header"
)

// modes of the rounds, in the order of the report.
func (o *options) modes() []mode {
	if o.inject {
		return []mode{off, receiver, injectOption, injectHeader, injectBoth}
	}
	return []mode{off, export, sampled, receiver}
}

// settings is the part of the receiver's configuration that makes a mode.
func (o *options) settings(m mode) string {
	if slices.Contains(withStatistics, m) && o.inject {
		m = injectBoth
	}
	switch {
	case m == sampled:
		return "sampler: {name: parentbased_traceidratio, arg: \"0.1\"}\n"
	case len(carriers[m]) > 0:
		return "context_propagation: {inject: [" + strings.Join(carriers[m], ", ") + "]}\n"
	default:
		return ""
	}
}

// run does all rounds and the last passes, with BPF statistics.
func run(ctx context.Context, o options, progress func(string, ...any)) (*Result, error) {
	dir, err := os.MkdirTemp("", "otelcol-ebpf-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b, err := newBench(dir, o)
	if err != nil {
		return nil, err
	}
	defer b.close()
	result := &Result{Rounds: o.rounds, Duration: o.duration.String(), Machine: machine(), Samples: make(map[string]map[mode][]*Sample)}
	modes := o.modes()
	for round := range o.rounds {
		for i := range modes {
			m := modes[(i+round)%len(modes)]
			if err := b.round(ctx, m, result); err != nil {
				return nil, fmt.Errorf("round %d, %s: %w", round+1, m, err)
			}
			progress("round %d/%d %s", round+1, o.rounds, m)
		}
	}
	for _, m := range withStatistics {
		if err := b.round(ctx, m, result); err != nil {
			return nil, fmt.Errorf("statistics pass: %w", err)
		}
	}
	if slices.Contains(strings.Split(o.scenarios, ","), "scale") {
		for _, all := range []bool{false, true} {
			s := scaleDefaults
			s.hooks, s.all = o.hooks, all
			r, err := runScale(ctx, s)
			if err != nil {
				return nil, fmt.Errorf("scale: %w", err)
			}
			result.Scale = append(result.Scale, r)
			progress("scale, all processes selected: %v", all)
		}
	}
	result.summarise(strings.Split(o.scenarios, ","), append(modes, withStatistics...))
	return result, nil
}

func flagGiven(name string) (given bool) {
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}

func machine() string {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	cpu := ""
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			cpu = strings.TrimSpace(value)
		}
	}
	return fmt.Sprintf("Linux %s, %d CPUs, %s", strings.TrimSpace(string(release)), cpus(), cpu)
}

func tool(dir, name string) string { return filepath.Join(dir, name) }
