// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

var statuses = []int{200, 201, 204, 301, 304, 400, 404, 418, 500, 503}

// httpServer takes HTTP/2 with prior knowledge, or after an upgrade.
func httpServer(upgrade bool) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := now()
		n, _ := io.Copy(io.Discard, r.Body)
		kind, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/truth/"), "/")
		code, size := 200, 20
		switch kind {
		case "coded":
			i, _ := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
			code, size = statuses[i%len(statuses)], 0
		case "big":
			size = big
		case "longheader":
			w.Header().Set("x-long", strings.Repeat("y", 16<<10))
		}
		w.WriteHeader(code)
		_, _ = w.Write(make([]byte, size))
		record(Call{Path: r.URL.Path, Code: strconv.Itoa(code), Start: start, End: now(), Request: int(n), Response: size})
	})
	s := &http.Server{Protocols: protocols(), MaxHeaderBytes: 1 << 20, Handler: handler}
	if upgrade {
		s.Protocols = nil
		s.Handler = h2c.NewHandler(handler, &http2.Server{})
	}
	go func() { _ = s.Serve(l) }()
	say("listening %d", l.Addr().(*net.TCPAddr).Port)
	untilEOF()
	return nil
}

func httpClient(o *options) error {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	t := &http.Transport{Protocols: p, MaxConnsPerHost: 1}
	c := &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer t.CloseIdleConnections()
	var failed error
	run(o, func(kind, id string, n int) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		path := "/truth/" + kind + "/" + id
		method, body := http.MethodGet, []byte(nil)
		if kind == "big" || kind == "post" {
			method, body = http.MethodPost, make([]byte, 1000)
		}
		if kind == "big" {
			body = make([]byte, big)
		}
		r, err := http.NewRequestWithContext(ctx, method, "http://"+o.target+path, bytes.NewReader(body))
		if err != nil {
			failed = err
			return
		}
		if kind == "longheader" {
			r.Header.Set("x-long", strings.Repeat("long/", 16<<10/5)+strconv.Itoa(n))
		}
		start := now()
		res, err := c.Do(r)
		if err != nil {
			failed = err
			return
		}
		size, _ := io.Copy(io.Discard, res.Body)
		res.Body.Close()
		record(Call{Path: path, Code: strconv.Itoa(res.StatusCode), Start: start, End: now(), Request: len(body), Response: int(size)})
	})
	return failed
}
