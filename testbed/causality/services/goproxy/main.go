// SPDX-License-Identifier: Apache-2.0

// goproxy is Go's reverse proxy in front of the service the plan names.
package main

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/causality/services/go/plan"
)

func main() {
	peers := plan.Peers(os.Getenv("PEERS"))
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		if task, err := plan.Parse(r.In.URL.EscapedPath(), peers); err == nil && len(task.Steps) > 0 {
			if next, err := url.Parse(task.Steps[0][0].URL); err == nil {
				r.Out.URL, r.Out.Host = next, next.Host
			}
		}
	}}
	handler := func(w http.ResponseWriter, r *http.Request) {
		if task, err := plan.Parse(r.URL.EscapedPath(), peers); err == nil && len(task.Steps) == 0 {
			return // who asks only wants to know whether somebody is there
		}
		proxy.ServeHTTP(w, r)
	}
	fmt.Println("listening", os.Getenv("PORT"))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(handler)))
}
