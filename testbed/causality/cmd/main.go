// SPDX-License-Identifier: Apache-2.0

// cmd runs scenarios of the causality benchmark by hand and shows what is wrong.
// It needs root.
//
//	go run ./testbed/causality/cmd -scenario node -concurrency 16 -requests 500 -v
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/causality"
)

type options struct {
	causality.Options
	concurrency string
	receiver    string
	json        string
	examples    int
	only        string
	list        bool
	verbose     bool
	keep        bool
	hold        bool
}

func main() {
	var o options
	flag.StringVar(&o.Scenarios, "scenario", "", "regular expression for the beginning of their names; empty is all of them")
	flag.StringVar(&o.concurrency, "concurrency", "1,16,64", "connections of the closed loops")
	flag.IntVar(&o.Requests, "requests", 0, "requests of each run; 0 is 100 or eight per connection, whatever is more")
	flag.StringVar(&o.Hooks, "hooks", "", "capture backend: sock, sys_exit; empty is automatic")
	flag.StringVar(&o.receiver, "receiver", "", "file with more YAML for the receiver, instead of the larger rings")
	flag.Uint64Var(&o.Seed, "seed", 1, "of sizes and delays")
	flag.StringVar(&o.json, "json", "", "file for the result as JSON")
	flag.BoolVar(&o.verbose, "v", false, "say what is being done, and explain mistakes")
	flag.IntVar(&o.examples, "examples", 2, "with -v: examples of each kind of mistake")
	flag.StringVar(&o.only, "only", "", "with -v: regular expression for the mistakes to explain, \"wrong python\" or \"unexpected\"")
	flag.BoolVar(&o.keep, "keep", false, "keep the collector's configuration and log, and all spans")
	flag.BoolVar(&o.hold, "hold", false, "wait for Enter before stopping services and collector")
	flag.BoolVar(&o.list, "list", false, "list the scenarios")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "causality:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.list {
		for _, s := range causality.Scenarios() {
			fmt.Printf("%-20s %s\n", s.Name, s)
		}
		return nil
	}
	for _, n := range strings.Split(o.concurrency, ",") {
		c, err := strconv.Atoi(n)
		if err != nil || c < 1 {
			return fmt.Errorf("concurrency: %q is not a positive number", n)
		}
		o.Concurrency = append(o.Concurrency, c)
	}
	only, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	if o.receiver != "" {
		b, err := os.ReadFile(o.receiver)
		if err != nil {
			return err
		}
		o.Receiver = string(b)
	}
	dir, err := os.MkdirTemp("", "causality-")
	if err != nil {
		return err
	}
	o.Dir = dir
	if o.keep {
		fmt.Fprintln(os.Stderr, "kept in", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	o.Log = func(format string, args ...any) {
		if o.verbose {
			fmt.Fprintf(os.Stderr, format+"\n", args...)
		}
	}
	if o.hold {
		o.Hold = func() {
			fmt.Fprintln(os.Stderr, "everything still runs; Enter ends it")
			_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		}
	}
	result, err := causality.Run(ctx, o.Options)
	if err != nil {
		return err
	}
	if o.keep {
		if err := result.WriteSpans(filepath.Join(dir, "spans.jsonl")); err != nil {
			return err
		}
	}
	if o.verbose {
		fmt.Println(result.Explain(o.examples, only))
	}
	fmt.Print(result)
	if o.json == "" {
		return nil
	}
	b, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, append(b, '\n'), 0o644)
}
