// SPDX-License-Identifier: Apache-2.0

// gohttp is a net/http server or closed-loop client for benchmarks.
//
//	gohttp -server                    prints "listening PORT"
//	gohttp -url URL -c 16 -d 5s       prints requests, errors, p50 and p99 in us
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gohttp:", err)
		os.Exit(1)
	}
}

func run() error {
	server := flag.Bool("server", false, "serve on a free port")
	url := flag.String("url", "", "what to request")
	connections := flag.Int("c", 16, "connections")
	duration := flag.Duration("d", 5*time.Second, "how long")
	flag.Parse()
	if *server {
		return serve()
	}
	return load(*url, *connections, *duration)
}

func serve() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("listening", l.Addr().(*net.TCPAddr).Port)
	body := []byte(`{"status":"ok","items":[1,2,3,4,5,6,7,8,9,10]}`)
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}))
}

func load(url string, connections int, duration time.Duration) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true}}
	stop := time.Now().Add(duration)
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	failures := 0
	for range connections {
		wg.Go(func() {
			var mine []time.Duration
			failed := 0
			for begin := time.Now(); begin.Before(stop); {
				res, err := client.Get(url)
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				if err != nil {
					failed++
				}
				now := time.Now()
				mine = append(mine, now.Sub(begin))
				begin = now
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
			failures += failed
		})
	}
	wg.Wait()
	slices.Sort(all)
	at := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))].Nanoseconds()) / 1e3 }
	fmt.Printf("%d %d %.1f %.1f\n", len(all), failures, at(0.5), at(0.99))
	return nil
}
