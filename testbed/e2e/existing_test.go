// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// existingCases have connections that are older than the collector and go on.
func existingCases() []*workload {
	peerCase := func(name, server, client string) *workload {
		return &workload{name: name, optionalBefore: true, before: func(s *suite, name string) (func() error, error) {
			dir := s.subdir(name)
			argv := []string{s.peer, "server", "--truth", dir, "--io", server}
			p, err := groundtruth.StartServer(dir, argv...)
			if err != nil {
				return nil, err
			}
			c, err := startPeerClient(s, s.peer, name, dir, p.Port, client)
			if err != nil {
				return nil, err
			}
			time.Sleep(50 * time.Millisecond)
			return func() error {
				err := c.Stop(500 * time.Millisecond)
				if e := p.Stop(0); err == nil {
					err = e
				}
				if e := s.book.Load(dir); err == nil {
					err = e
				}
				return err
			}, nil
		}}
	}
	return []*workload{
		peerCase("existing-rw", "rw", "--io rw --count 1000000 --interval 3000 --query size=200"),
		peerCase("existing-uring", "uring", "--io uring --count 1000000 --interval 3000 --method POST --body 500"),
		peerCase("existing-pipeline", "rw", "--count 1000000 --interval 3000 --pipeline 4"),
		peerCase("existing-slow", "rw", "--count 1000000 --query delay=30000&size=50"),
		{name: "existing-go", optionalBefore: true, before: func(s *suite, name string) (func() error, error) {
			server, err := groundtruth.NewGoServer(s.book)
			if err != nil {
				return nil, err
			}
			client := groundtruth.NewGoClient(s.book, true)
			var stop atomic.Bool
			done := make(chan error, 1)
			go func() {
				done <- groundtruth.Each(1_000_000, 4, func(i int) error {
					if stop.Load() {
						return nil
					}
					time.Sleep(3 * time.Millisecond)
					r := mix[i%len(mix)]
					return client.Request(r.method, server.URL(name, fmt.Sprintf("g%06d", i), r.query), make([]byte, r.body), r.header)
				})
			}()
			time.Sleep(50 * time.Millisecond)
			return func() error {
				time.Sleep(500 * time.Millisecond)
				stop.Store(true)
				err := <-done
				client.Close()
				time.Sleep(10 * time.Millisecond)
				server.Close()
				return err
			}, nil
		}},
	}
}
