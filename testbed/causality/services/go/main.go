// SPDX-License-Identifier: Apache-2.0

// go is a service on net/http: a goroutine per connection, and one more per call
// of a step that has several.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/causality/services/go/plan"
)

func main() {
	peers := plan.Peers(os.Getenv("PEERS"))
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64 // the default of 2 would hardly keep any alive
	client := &http.Client{Transport: transport}
	handler := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		task, err := plan.Parse(r.URL.EscapedPath(), peers)
		for _, step := range task.Steps {
			if err == nil {
				err = run(client, step)
			}
		}
		if err != nil {
			http.Error(w, "go: "+err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, strings.Repeat("x", task.Out))
	}
	fmt.Println("listening", os.Getenv("PORT"))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(handler)))
}

// run makes the calls of a step: a single one on this goroutine, several on new
// ones.
func run(client *http.Client, step []plan.Call) error {
	if len(step) == 1 {
		return do(client, step[0])
	}
	errs := make([]error, len(step))
	var wg sync.WaitGroup
	for i, c := range step {
		wg.Go(func() { errs[i] = do(client, c) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func do(client *http.Client, c plan.Call) error {
	time.Sleep(c.Delay)
	if c.URL == "" {
		return nil
	}
	var res *http.Response
	var err error
	if c.In > 0 {
		res, err = client.Post(c.URL, "text/plain", bytes.NewReader(make([]byte, c.In)))
	} else {
		res, err = client.Get(c.URL)
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", c.URL, b)
	}
	return err
}
