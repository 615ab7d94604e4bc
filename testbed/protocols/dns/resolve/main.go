// SPDX-License-Identifier: Apache-2.0

// Command resolve looks names up with Go's own resolver, 16 at a time:
// resolve PREFIX COUNT. The names are PREFIX-N.dns.test.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
)

func main() {
	count, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	r := &net.Resolver{PreferGo: true}
	work := make(chan int)
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for n := range work {
				if _, err := r.LookupIP(context.Background(), "ip4", fmt.Sprintf("%s-%d.dns.test.", os.Args[1], n)); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
			}
		})
	}
	for n := range count {
		work <- n
	}
	close(work)
	workers.Wait()
}
