// SPDX-License-Identifier: Apache-2.0

// Command go does what its arguments say with go-redis; see ../../redis_test.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	network := flag.String("network", "tcp", "")
	address := flag.String("address", "", "")
	name := flag.String("case", "", "")
	n := flag.Int("n", 0, "operations")
	depth := flag.Int("depth", 1, "commands per pipeline")
	workers := flag.Int("workers", 1, "goroutines, each with a connection")
	protocol := flag.Int("protocol", 3, "")
	size := flag.Int("size", 10, "of values")
	wait := flag.String("wait", "", "file to wait for once connected")
	tx := flag.Bool("tx", false, "transactions")
	flag.Parse()
	ctx := context.Background()
	c := redis.NewClient(&redis.Options{Network: *network, Addr: *address, Protocol: *protocol, PoolSize: *workers, MinIdleConns: *workers, MaxRetries: -1, ReadTimeout: 20 * time.Second})
	must(c.Ping(ctx).Err())
	time.Sleep(300 * time.Millisecond) // a process is looked at before it works
	if *wait != "" {
		for {
			if _, err := os.Stat(*wait); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	value := strings.Repeat("v", *size)
	var g sync.WaitGroup
	for w := range *workers {
		g.Go(func() {
			for i := w * *depth; i < *n; i += *workers * *depth {
				pipe := c.Pipeline()
				if *tx {
					pipe = c.TxPipeline()
				}
				for j := i; j < min(i+*depth, *n); j++ {
					key := fmt.Sprintf("%s:%d", *name, j)
					switch j % 4 {
					case 0:
						pipe.Set(ctx, key, value, 0)
					case 1:
						pipe.MGet(ctx, key, fmt.Sprintf("%s:%d", *name, j-1))
					case 2:
						pipe.Eval(ctx, "return redis.error_reply(ARGV[1])", nil, "E"+strings.ToUpper(*name)+fmt.Sprint(j)+" as told", key)
					case 3:
						pipe.Incr(ctx, key)
					}
				}
				_, _ = pipe.Exec(ctx)
			}
		})
	}
	g.Wait()
	must(c.Close())
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
