// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// programs is a case of a server and a client that write their own truth.
// DIR, PORT and CASE are replaced in the arguments.
func programs(name, server, client string) *workload {
	return &workload{name: name, run: func(s *suite, name string) error {
		dir := s.subdir(name)
		words := func(line string, port int) []string {
			r := strings.NewReplacer("DIR", dir, "PORT", fmt.Sprint(port), "CASE", name)
			argv := strings.Fields(r.Replace(line))
			argv[1] = groundtruth.Workload(argv[1])
			return argv
		}
		p, err := groundtruth.StartServer(dir, words(server, 0)...)
		if err != nil {
			return err
		}
		s.book.Watch(p.PID(), name)
		c, err := groundtruth.Start(dir, words(client, p.Port)...)
		if err == nil {
			s.book.Watch(c.PID(), name)
			err = c.Wait(20 * time.Second)
		}
		if e := p.Stop(20 * time.Millisecond); err == nil {
			err = e
		}
		if e := s.book.Load(dir); err == nil {
			err = e
		}
		return err
	}}
}

// goClientTo is a case of a program that serves and the Go client.
func goClientTo(name, server string, concurrency int) *workload {
	return &workload{name: name, run: func(s *suite, name string) error {
		dir := s.subdir(name)
		argv := strings.Fields(strings.ReplaceAll(server, "DIR", dir))
		argv[1] = groundtruth.Workload(argv[1])
		p, err := groundtruth.StartServer(dir, argv...)
		if err != nil {
			return err
		}
		s.book.Watch(p.PID(), name)
		client := groundtruth.NewGoClient(s.book, true)
		err = groundtruth.Each(200, concurrency, func(i int) error {
			r := mix[i%6]
			return client.Request(r.method, fmt.Sprintf("http://127.0.0.1:%d/case/%s/g%04d?%s", p.Port, name, i, r.query), make([]byte, r.body), nil)
		})
		client.Close()
		if e := p.Stop(20 * time.Millisecond); err == nil {
			err = e
		}
		if e := s.book.Load(dir); err == nil {
			err = e
		}
		return err
	}}
}

func languageCases() []*workload {
	return []*workload{
		programs("python-threading", "python3 server.py threading DIR", "python3 client.py keepalive DIR PORT CASE 80"),
		programs("python-urllib", "python3 server.py threading DIR", "python3 client.py urllib DIR PORT CASE 80"),
		programs("python-asyncio", "python3 server.py asyncio DIR", "python3 client.py keepalive DIR PORT CASE 80 nochunks"),
		programs("node", "node server.js DIR", "node client.js DIR PORT CASE 400 16"),
		programs("python-to-node", "node server.js DIR", "python3 client.py keepalive DIR PORT CASE 80"),
		programs("node-to-python", "python3 server.py threading DIR", "node client.js DIR PORT CASE 160 8"),
		goClientTo("go-to-python", "python3 server.py threading DIR", 8),
		goClientTo("go-to-node", "node server.js DIR", 16),
	}
}
