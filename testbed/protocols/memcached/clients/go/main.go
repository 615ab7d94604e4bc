// SPDX-License-Identifier: Apache-2.0

// Command go does what its arguments say with gomemcache; see ../../memcached_test.go.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

func main() {
	address := flag.String("address", "", "")
	name := flag.String("case", "", "")
	n := flag.Int("n", 0, "operations")
	workers := flag.Int("workers", 1, "goroutines, each with a connection")
	size := flag.Int("size", 10, "of values")
	wait := flag.String("wait", "", "file to wait for once connected")
	flag.Parse()
	c := memcache.New(*address)
	c.MaxIdleConns = *workers
	c.Timeout = 20 * time.Second
	if err := c.Ping(); err != nil {
		log.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // a process is looked at before it works
	for *wait != "" {
		if _, err := os.Stat(*wait); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	value := bytes.Repeat([]byte("v"), *size)
	var g sync.WaitGroup
	for w := range *workers {
		g.Go(func() {
			for j := w; j < *n; j += *workers {
				key := fmt.Sprintf("%s:%d", *name, j)
				switch j % 5 {
				case 0:
					must(c.Set(&memcache.Item{Key: key, Value: value}))
				case 1:
					// The one before is there, this one is not.
					_, err := c.GetMulti([]string{key, fmt.Sprintf("%s:%d", *name, j-1)})
					must(err)
				case 2:
					_, err := c.Increment(key, 1)
					must(err)
				case 3:
					must(c.Add(&memcache.Item{Key: key, Value: []byte("x")}))
				case 4:
					must(c.Delete(key))
				}
			}
		})
	}
	g.Wait()
	c.Close()
}

func must(err error) {
	if err != nil && err != memcache.ErrCacheMiss && err != memcache.ErrNotStored {
		log.Fatal(err)
	}
}
