// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

const paced = "paced-10k"

type request struct {
	method, query string
	body          int
	header        map[string]string
}

// mix is a bit of everything an ordinary client does.
var mix = []request{
	{method: "GET", query: "size=100"},
	{method: "POST", query: "status=201&size=50", body: 800},
	{method: "GET", query: "status=404&size=9"},
	{method: "GET", query: "status=500&size=9"},
	{method: "GET", query: "size=9000&chunks=4"},
	{method: "HEAD", query: "size=400"},
	{method: "GET", query: "status=204"},
	{method: "GET", query: "status=304&size=100"},
	{method: "PUT", query: "delay=2000&size=3000", body: 20000},
	{method: "DELETE", query: "status=202&size=0"},
	{method: "PATCH", query: "status=422&size=30", body: 10},
	{method: "POST", query: "size=20", body: 3000, header: map[string]string{"Transfer-Encoding": "chunked"}},
}

func goTraffic(s *suite, name string, keepAlive bool, count, concurrency int, requests []request) error {
	server, err := groundtruth.NewGoServer(s.book)
	if err != nil {
		return err
	}
	defer server.Close()
	client := groundtruth.NewGoClient(s.book, keepAlive)
	defer client.Close()
	err = groundtruth.Each(count, concurrency, func(i int) error {
		r := requests[i%len(requests)]
		return client.Request(r.method, server.URL(name, fmt.Sprintf("g%06d", i), r.query), make([]byte, r.body), r.header)
	})
	time.Sleep(10 * time.Millisecond) // the last connections become idle
	return err
}

// goCases are net/http on both ends, in the test process.
func goCases() []*workload {
	var out []*workload
	add := func(name string, keepAlive bool, count, concurrency int, requests ...request) {
		out = append(out, &workload{name: name, run: func(s *suite, name string) error {
			return goTraffic(s, name, keepAlive, count, concurrency, requests)
		}})
	}
	add("go-keepalive-1", true, 240, 1, mix...)
	add("go-keepalive-16", true, 960, 16, mix...)
	add("go-keepalive-64", true, 1920, 64, mix...)
	add("go-conns-1", false, 60, 1, mix...)
	add("go-conns-16", false, 360, 16, mix...)
	add("go-conns-64", false, 360, 64, mix...)
	add("go-big-bodies", true, 8, 2, request{method: "POST", query: "size=5000000", body: 5000000})
	add("go-streaming", true, 4, 2, request{method: "GET", query: "size=40000&chunks=10&chunkdelay=3000"})
	add("go-expect-continue", true, 6, 1, request{method: "PUT", query: "size=10", body: 50000, header: map[string]string{"Expect": "100-continue"}})
	out = append(out, &workload{name: "go-redirects", run: func(s *suite, name string) error {
		server, err := groundtruth.NewGoServer(s.book)
		if err != nil {
			return err
		}
		defer server.Close()
		client := groundtruth.NewGoClient(s.book, true)
		defer client.Close()
		for i := range 10 {
			id := fmt.Sprintf("g%03d", i)
			if err := client.Request("GET", server.URL(name, id, fmt.Sprintf("status=%d&to=%s-b", []int{301, 302, 303, 307, 308}[i%5], id)), nil, nil); err != nil {
				return err
			}
		}
		time.Sleep(10 * time.Millisecond)
		return nil
	}})
	// Bodies that look like HTTP must not be taken for it.
	out = append(out, &workload{name: "go-http-in-body", run: func(s *suite, name string) error {
		server, err := groundtruth.NewGoServer(s.book)
		if err != nil {
			return err
		}
		defer server.Close()
		client := groundtruth.NewGoClient(s.book, true)
		defer client.Close()
		evil := fmt.Sprintf("GET /case/%s/evil HTTP/1.1\r\nHost: evil\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", name)
		for i := range 20 {
			header := map[string]string{}
			if i%2 == 1 {
				header["Transfer-Encoding"] = "chunked"
			}
			body := []byte(strings.Repeat(evil, 1+i*40))
			if err := client.Request("POST", server.URL(name, fmt.Sprintf("g%03d", i), "size=5"), body, header); err != nil {
				return err
			}
		}
		time.Sleep(10 * time.Millisecond)
		return nil
	}})
	return out
}

// runPaced is 10,000 requests per second for three seconds, nginx on the other
// side.
func runPaced(s *suite, name string) error {
	n, err := groundtruth.StartNginx(s.subdir(name), 1, 0)
	if err != nil {
		return err
	}
	client := groundtruth.NewGoClient(s.book, true)
	rate, err := groundtruth.Paced(10_000, 3*time.Second, 32, func(i int) error {
		return client.Request(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/case/%s/p%06d", n.Return, name, i), nil, nil)
	})
	s.t.Logf("%s: %.0f requests per second", name, rate)
	client.Close()
	if e := n.Stop(0); err == nil {
		err = e
	}
	groundtruth.Mirror(s.book, name, n.Workers, nil)
	return err
}
