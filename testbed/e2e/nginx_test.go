// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// nginxCases are nginx as file server and reverse proxy.
func nginxCases() []*workload {
	var out []*workload
	static := func(name string, port func(*groundtruth.Nginx) int, client func(s *suite, name, base string) error) {
		out = append(out, &workload{name: name, run: func(s *suite, name string) error {
			n, err := groundtruth.StartNginx(s.subdir(name), 2, 0)
			if err != nil {
				return err
			}
			for _, w := range n.Workers {
				s.book.Watch(w, name)
			}
			err = client(s, name, fmt.Sprintf("http://127.0.0.1:%d/case/%s", port(n), name))
			if e := n.Stop(20 * time.Millisecond); err == nil {
				err = e
			}
			groundtruth.Mirror(s.book, name, n.Workers, nil)
			return err
		}})
	}
	withSendfile := func(n *groundtruth.Nginx) int { return n.Sendfile }
	without := func(n *groundtruth.Nginx) int { return n.Plain }
	static("nginx-sendfile-go", withSendfile, goFiles)
	static("nginx-plain-go", without, goFiles)
	static("nginx-sendfile-curl", withSendfile, curlFiles)
	static("nginx-plain-curl", without, curlFiles)

	proxy := func(name, version string, port func(*groundtruth.Nginx) int) {
		out = append(out, &workload{name: name, run: func(s *suite, name string) error {
			app, err := groundtruth.NewGoServer(s.book)
			if err != nil {
				return err
			}
			defer app.Close()
			n, err := groundtruth.StartNginx(s.subdir(name), 2, app.Port)
			if err != nil {
				return err
			}
			for _, w := range n.Workers {
				s.book.Watch(w, name)
			}
			client := groundtruth.NewGoClient(s.book, true)
			err = groundtruth.Each(240, 8, func(i int) error {
				r := mix[i%len(mix)]
				return client.Request(r.method, fmt.Sprintf("http://127.0.0.1:%d/case/%s/g%04d?%s", port(n), name, i, r.query), make([]byte, r.body), r.header)
			})
			client.Close()
			if e := n.Stop(20 * time.Millisecond); err == nil {
				err = e
			}
			proxyTruth(s.book, name, version, n.Workers, app.Port)
			return err
		}})
	}
	proxy("nginx-proxy", "1.1", func(n *groundtruth.Nginx) int { return n.Proxy })
	proxy("nginx-proxy-http10", "1.0", func(n *groundtruth.Nginx) int { return n.Proxy10 })
	return out
}

// proxyTruth derives what the proxy did from what its clients and its upstream
// did: a server and a client record per request.
func proxyTruth(book *groundtruth.Book, name, version string, workers []int, upstream int) {
	clients := make(map[string]*groundtruth.Record)
	for _, r := range book.Records(name) {
		if r.Role == groundtruth.Client {
			clients[r.ID] = r
		}
	}
	var made []*groundtruth.Record
	for _, r := range book.Records(name) {
		c := clients[r.ID]
		if r.Role != groundtruth.Server || c == nil {
			continue
		}
		front := *c
		front.Role, front.PID, front.PIDs = groundtruth.Server, 0, workers
		front.PeerPort, front.StartMax, front.EndMin = 0, 0, r.EndMin
		front.RequestBody, front.ResponseBody = -1, -1
		front.EndMax += int64(5 * time.Millisecond)
		back := *r
		back.Role, back.PID, back.PIDs = groundtruth.Client, 0, workers
		back.Version, back.ServerPort, back.PeerPort = version, upstream, upstream
		back.RequestBody, back.ResponseBody = -1, -1
		back.StartMin, back.EndMax = c.StartMin, c.EndMax+int64(5*time.Millisecond)
		made = append(made, &front, &back)
	}
	book.Add(made...)
}

func goFiles(s *suite, name, base string) error {
	client := groundtruth.NewGoClient(s.book, true)
	defer client.Close()
	files := []string{"1k", "1m", "64k", "missing"}
	return groundtruth.Each(60, 4, func(i int) error {
		method := "GET"
		if i%10 == 9 {
			method = "HEAD"
		}
		return client.Request(method, fmt.Sprintf("%s/g%04d?file=%s", base, i, files[i%len(files)]), nil, nil)
	})
}

// curlFiles lets curl fetch several files per process over one connection.
func curlFiles(s *suite, name, base string) error {
	for i := range 6 {
		var records []*groundtruth.Record
		argv := []string{"curl", "-sS", "-A", "curl-truth"}
		for j, file := range []string{"1k", "1m", "missing", "64k"} {
			id := fmt.Sprintf("c%d-%d", i, j)
			r := &groundtruth.Record{
				Case: name, ID: id, Role: groundtruth.Client, Method: "GET", Path: "/case/" + name + "/" + id, Query: "file=" + file,
				Status: 200, Version: "1.1", ResponseBody: -1, UserAgent: "curl-truth",
			}
			if file == "missing" {
				r.Status = 404
			}
			if _, err := fmt.Sscanf(base, "http://127.0.0.1:%d/", &r.ServerPort); err != nil {
				return err
			}
			r.PeerPort = r.ServerPort
			records = append(records, r)
			argv = append(argv, "-o", os.DevNull, base+"/"+id+"?"+r.Query)
		}
		start := time.Now().UnixNano()
		p, err := groundtruth.Start(filepath.Dir(s.peer), argv...)
		if err != nil {
			return err
		}
		s.book.Watch(p.PID(), name)
		if err := p.Wait(10 * time.Second); err != nil {
			return err
		}
		for _, r := range records {
			r.PID, r.StartMin, r.EndMax = p.PID(), start, time.Now().UnixNano()
		}
		s.book.Add(records...)
	}
	return nil
}
