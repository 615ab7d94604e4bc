// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// peers is a case of two C programs; server and client are their options.
func peers(name, server, client string) *workload {
	return &workload{name: name, run: func(s *suite, name string) error { return runPeers(s, s.peer, name, server, client) }}
}

func runPeers(s *suite, binary, name, server, client string) error {
	dir := s.subdir(name)
	argv := append([]string{binary, "server", "--truth", dir}, options(dir, server)...)
	p, err := groundtruth.StartServer(dir, argv...)
	if err != nil {
		return err
	}
	s.book.Watch(p.PID(), name)
	c, err := startPeerClient(s, binary, name, dir, p.Port, client)
	if err == nil {
		err = c.Wait(20 * time.Second)
	}
	linger := time.Duration(0)
	if strings.Contains(client, "giveup") {
		linger = 400 * time.Millisecond // it is still busy with what the client gave up on
	}
	if e := p.Stop(linger); err == nil {
		err = e
	}
	if e := s.book.Load(dir); err == nil {
		err = e
	}
	return err
}

// options splits a line of options; --unix gets its path.
func options(dir, line string) []string {
	var out []string
	for _, o := range strings.Fields(line) {
		out = append(out, o)
		if o == "--unix" {
			out = append(out, filepath.Join(dir, "s.sock"))
		}
	}
	return out
}

func startPeerClient(s *suite, binary, name, dir string, port int, line string) (*groundtruth.Process, error) {
	argv := append([]string{binary, "client", "--truth", dir, "--case", name, "--port", fmt.Sprint(port)}, options(dir, line)...)
	c, err := groundtruth.Start(dir, argv...)
	if err != nil {
		return nil, err
	}
	s.book.Watch(c.PID(), name)
	return c, nil
}

// peerCases are everything raw system calls can do to an HTTP connection.
func peerCases() []*workload {
	var out []*workload
	add := func(name, server, client string) { out = append(out, peers(name, server, client)) }

	// Receiving by splice is watched from the first time anybody does it.
	first := peers("splice-first", "--io splice", "--io splice --count 2 --interval 300000 --query size=500")
	first.optional = func(r *groundtruth.Record) bool { return r.Role == groundtruth.Client }
	out = append(out, first)
	for _, io := range []string{
		"rw", "vec8", "vec1000", "send", "sendto", "msg", "mmsg", "byte", "uring", "uringrw", "uringmsg", "peek", "sendfile", "splice",
		"more", "smallread", "nonblock",
	} {
		o := "--io " + io
		add("io-"+io, o, o+" --count 20 --body 300 --method POST --query size=500")
		add("io-"+io+"-conns", o, o+" --count 10 --per-conn 1")
		if io != "byte" {
			add("io-"+io+"-big", o, o+" --count 3 --body 100000 --method PUT --query size=300000")
		}
		if io != "splice" && io != "peek" {
			add("io-"+io+"-chunked", o, o+" --count 5 --chunked --body 3000 --method POST --query size=4000&chunks=4")
		}
	}
	for _, mix := range [][2]string{{"vec8", "msg"}, {"uring", "rw"}, {"rw", "uring"}, {"sendfile", "byte"}, {"mmsg", "vec1000"}, {"byte", "peek"}} {
		add("mix-"+mix[0]+"-"+mix[1], "--write "+mix[0]+" --read "+mix[1], "--write "+mix[1]+" --read "+mix[0]+" --count 10 --query size=300")
	}

	add("pipeline-2", "", "--count 40 --pipeline 2")
	add("pipeline-16", "", "--count 160 --pipeline 16")
	add("pipeline-100", "", "--count 300 --pipeline 100")
	add("pipeline-16-batched", "--batch", "--count 160 --pipeline 16")
	add("pipeline-100-batched", "--batch", "--count 300 --pipeline 100")
	add("pipeline-16-bodies", "", "--count 48 --pipeline 16 --method POST --body 200 --query size=700")
	add("pipeline-4-bytes", "--io byte", "--io byte --count 12 --pipeline 4")
	add("pipeline-8-split", "", "--count 40 --pipeline 8 --split 5")

	add("head-8k", "--head 8000", "--head 8000 --count 5")
	add("head-16k", "--head 16384", "--head 16384 --count 5")
	add("head-16k-split", "--head 16384 --split 4", "--head 16384 --split 4 --count 5")
	add("head-16k-vec8", "--head 16384 --io vec8", "--head 16384 --io vec8 --count 5")
	add("head-16k-vec1000", "--head 16384 --io vec1000", "--head 16384 --io vec1000 --count 5")
	add("head-40k", "--head 40000", "--head 40000 --count 5")
	add("head-long-target", "", "--count 5 --query size=10&pad="+strings.Repeat("x", 3000))
	add("body-separate", "--separate", "--separate --count 10 --method POST --body 2000 --query size=1000")

	add("unix", "--unix", "--unix --count 20 --body 100 --method POST")
	add("unix-conns", "--unix", "--unix --count 10 --per-conn 1")
	add("unix-msg", "--unix --io msg", "--unix --io msg --count 10")
	add("unix-uring", "--unix --io uring", "--unix --io uring --count 10")
	add("unix-byte", "--unix --io byte", "--unix --io byte --count 10")
	add("unix-sendfile", "--unix --io sendfile", "--unix --io sendfile --count 5 --body 5000 --method POST --query size=5000")
	add("unix-pipeline", "--unix", "--unix --count 100 --pipeline 20")
	add("ipv6", "--ip ::1", "--ip ::1 --count 20")
	add("ipv6-conns", "--ip ::1", "--ip ::1 --count 10 --per-conn 1")
	add("ipv4-mapped", "--ip ::", "--count 10 --per-conn 2")

	add("fork", "--handoff fork", "--count 20 --per-conn 5")
	add("scm-rights", "--handoff scm", "--count 20 --per-conn 5")
	add("dup", "--handoff dup", "--count 20 --per-conn 5")
	add("threads", "--handoff threads", "--count 30 --per-conn 10")
	out = append(out, &workload{name: "socketpair", run: func(s *suite, name string) error {
		dir := s.subdir(name)
		p, err := groundtruth.Start(dir, s.peer, "pair", "--truth", dir, "--case", name, "--count", "20")
		if err != nil {
			return err
		}
		s.book.Watch(p.PID(), name)
		if err := p.Wait(10 * time.Second); err != nil {
			return err
		}
		return s.book.Load(dir)
	}})

	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "FROB"} {
		add("method-"+strings.ToLower(m), "", "--count 4 --method "+m)
	}
	for _, status := range []int{201, 204, 206, 301, 304, 400, 404, 418, 429, 500, 503, 599} {
		add(fmt.Sprintf("status-%d", status), "", fmt.Sprintf("--count 4 --query status=%d&size=20", status))
	}
	add("delay", "", "--count 5 --query delay=20000")
	add("early-hints", "", "--count 5 --query act=hints")
	add("expect-continue", "", "--count 5 --expect --body 3000 --method PUT")
	add("answer-before-body", "", "--count 5 --query act=early&status=413 --separate --body 3000 --method POST")
	add("body-until-close", "", "--count 5 --query eof=1&size=5000")
	add("traceparent", "", "--count 10 --traceparent")
	add("traceparent-pipeline", "", "--count 40 --pipeline 10 --traceparent")

	add("close-no-answer", "", "--count 5 --query act=close")
	add("rst-no-answer", "", "--count 5 --query act=rst")
	add("close-half-answer", "", "--count 5 --query act=partial&size=2000")
	add("client-gives-up", "", "--count 4 --end giveup --wait 20000 --query delay=60000&size=100")
	add("client-gives-up-seen", "", "--count 4 --end giveup --wait 20000 --query act=waiteof&delay=1000000")
	add("client-resets", "", "--count 4 --end rst --wait 20000 --query act=waiteof&delay=1000000")
	add("client-half-closes", "", "--count 5 --end half --query delay=5000&size=100")

	add("upgrade-101", "", "--count 3 --query act=upgrade")
	add("connect", "", "--count 1 --form authority --method CONNECT")
	add("options-asterisk", "", "--count 1 --form asterisk --method OPTIONS")
	add("absolute-form", "", "--count 5 --form absolute")
	add("http10", "", "--count 10 --version 1.0 --per-conn 1")
	add("http10-keepalive", "", "--count 10 --version 1.0")
	add("http10-until-close", "", "--count 5 --version 1.0 --per-conn 1 --query eof=1&size=3000")
	add("bare-lf", "", "--count 5 --lf")
	return out
}
