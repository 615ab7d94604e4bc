// SPDX-License-Identifier: Apache-2.0

// Command truth is clients and servers of gRPC (grpc-go) and of HTTP/2 in the clear
// (net/http) that say what they have done: a line of JSON for each call.
//
//	truth grpc-server
//	truth grpc-client -target HOST:PORT -name CASE -streams N -count N -kinds unary,coded...
//	truth http-server, h2c-server
//	truth http-client -target HOST:PORT ...
//
// Servers print "listening PORT" first and end with their standard input.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// Call is what one end knows of a call.
type Call struct {
	Path string
	// Code is the status: of gRPC by name, of HTTP in decimal.
	Code string
	// Start and End are around the call, ns since the epoch.
	Start, End int64
	Request    int `json:",omitempty"` // body size
	Response   int `json:",omitempty"`
}

var (
	mu  sync.Mutex
	out = bufio.NewWriter(os.Stdout)
)

func record(c Call) {
	mu.Lock()
	defer mu.Unlock()
	_ = json.NewEncoder(out).Encode(c)
}

func say(format string, args ...any) {
	mu.Lock()
	defer mu.Unlock()
	fmt.Fprintf(out, format+"\n", args...)
	out.Flush()
}

type options struct {
	target, name string
	streams      int
	count        int
	kinds        []string
	wait, warm   bool
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "truth grpc-server|grpc-client|http-server|http-client")
		os.Exit(2)
	}
	var o options
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&o.target, "target", "", "host:port")
	flags.StringVar(&o.name, "name", "case", "goes into paths")
	flags.IntVar(&o.streams, "streams", 1, "calls in flight")
	flags.IntVar(&o.count, "count", 100, "calls of each kind")
	flags.BoolVar(&o.wait, "wait", false, "make a few calls, then wait for a line on standard input")
	flags.BoolVar(&o.warm, "warm", false, "make one call and wait a moment first")
	kinds := flags.String("kinds", "unary", "comma-separated")
	_ = flags.Parse(os.Args[2:])
	o.kinds = strings.Split(*kinds, ",")
	var err error
	switch os.Args[1] {
	case "grpc-server":
		err = grpcServer()
	case "grpc-client":
		err = grpcClient(&o)
	case "http-server":
		err = httpServer(false)
	case "h2c-server":
		err = httpServer(true)
	case "http-client":
		err = httpClient(&o)
	default:
		err = fmt.Errorf("unknown mode %q", os.Args[1])
	}
	out.Flush()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// untilEOF waits for the end of standard input.
func untilEOF() { _, _ = io.Copy(io.Discard, os.Stdin) }

// run makes the calls of a client: so many at once, on one connection.
func run(o *options, do func(kind, id string, n int)) {
	if o.wait {
		for n := range 5 {
			do(o.kinds[0], fmt.Sprintf("early-%s-%d", o.name, n), n)
		}
		say("waiting")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	}
	if o.warm {
		// What is copied of a connection depends on what it turns out to be, which
		// the kernel learns of some milliseconds later.
		do("unary", "warm-"+o.name, 0)
		time.Sleep(200 * time.Millisecond)
	}
	type job struct {
		kind string
		n    int
	}
	jobs := make(chan job)
	var group sync.WaitGroup
	for range o.streams {
		group.Go(func() {
			for j := range jobs {
				do(j.kind, fmt.Sprintf("%s-%s-%d", o.name, j.kind, j.n), j.n)
			}
		})
	}
	for n := range o.count {
		for _, k := range o.kinds {
			jobs <- job{k, n}
		}
	}
	close(jobs)
	group.Wait()
}

func now() int64 { return time.Now().UnixNano() }
