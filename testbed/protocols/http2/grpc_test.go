// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
)

const (
	ordinary = "unary,coded,serverstream,clientstream,bidi"
	special  = "big,longheader,slow,cancelled"
)

// discovery selects what the test starts. Clients may be gone before anybody reads their
// environment; those are known by their programs.
func discovery(t *testing.T) string {
	name, value := protocols.Mark(t)
	rules := fmt.Sprintf(`{environment: {%s: "%s"}}`, name, value)
	for _, program := range []string{"http2/truth", "curl", "h2load", "nghttp"} {
		rules += fmt.Sprintf(`, {exe: "*/%s"}`, program)
	}
	return "[" + rules + "]"
}

type command func(args ...string) []string

// pairOf is a client and a server, and how many calls of each kind are made.
type pairOf struct {
	name           string
	client, server command
	mode           string
	kinds          string
	streams, count int
}

// warm: clients of large messages make a small call first.
func (p *pairOf) warm() string {
	return map[bool]string{true: "-warm", false: "-streams=" + strconv.Itoa(p.streams)}[p.mode == "grpc" && (strings.Contains(p.kinds, "longheader") || strings.Contains(p.kinds, "big"))]
}

// run makes the calls of a pair on a server that runs, and says what is to be expected.
func (p *pairOf) run(t *testing.T, s *program, n int) *expectation {
	t.Helper()
	name := fmt.Sprintf("c%d", n)
	c := start(t, p.client(p.mode+"-client", "-target", s.target(), "-name", name, "-streams", strconv.Itoa(p.streams),
		"-count", strconv.Itoa(p.count), "-kinds", p.kinds, p.warm())...).collect()
	return &expectation{name: p.name, pid: c.pid(), client: true, calls: c.end()}
}

func TestGroundTruthGRPC(t *testing.T) {
	groundtruth.Requirements(t)
	install(t)
	// For bursts, the default ring buffer is small on two CPUs that others keep busy. Every
	// call has a method of its own.
	const more = "limits: {ring_buffer_size: 134217728, max_series_per_metric: 20000}\n"
	for name, g := range map[string]struct {
		backend string
		pairs   []pairOf
	}{
		"sock": {"sock", []pairOf{
			{"grpc-go, 1 stream", truth, truth, "grpc", ordinary, 1, 60},
			{"grpc-go, 2 streams", truth, truth, "grpc", ordinary, 2, 60},
			{"grpc-go, 16 streams", truth, truth, "grpc", ordinary, 16, 200},
			{"grpc-go, 100 streams", truth, truth, "grpc", ordinary, 100, 400},
			{"Python to grpc-go, 16 streams", python, truth, "grpc", ordinary, 16, 60},
			{"grpc-go to Python, 16 streams", truth, python, "grpc", ordinary, 16, 60},
		}},
		"sock, special": {"sock", []pairOf{
			{"grpc-go, special", truth, truth, "grpc", special, 4, 20},
			{"Python to grpc-go, special", python, truth, "grpc", "longheader,slow,cancelled", 2, 10},
			{"grpc-go to Python, special", truth, python, "grpc", "longheader,slow,cancelled", 2, 10},
		}},
		// The C core moves up to a megabyte with one call, far more than limits.max_payload.
		"sock, large calls": {"sock", []pairOf{
			{"Python to grpc-go, large calls", python, truth, "grpc", "big", 2, 20},
			{"grpc-go to Python, large calls", truth, python, "grpc", "big", 2, 20},
		}},
		"sys_exit": {"sys_exit", []pairOf{
			{"grpc-go, 16 streams", truth, truth, "grpc", ordinary, 16, 60},
			{"grpc-go, long headers", truth, truth, "grpc", "longheader,cancelled", 4, 10},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := protocols.Observe(t, g.backend, discovery(t), more)
			pairs := g.pairs
			servers := map[bool]*program{}
			var all []*expectation
			for i := range pairs {
				p := &pairs[i]
				ofPython := fmt.Sprintf("%p", p.server) == fmt.Sprintf("%p", command(python))
				if servers[ofPython] == nil {
					servers[ofPython] = serve(t, p.server(p.mode+"-server")...)
				}
				all = append(all, p.run(t, servers[ofPython], i))
			}
			total := 0
			for ofPython, s := range servers {
				e := &expectation{name: map[bool]string{true: "Python", false: "grpc-go"}[ofPython], pid: s.pid(), calls: s.end()}
				all = append(all, e)
				reached := paths(e.calls)
				for _, c := range all {
					if c.client && c.reached == nil {
						c.reached = reached
					} else if c.client {
						for path := range reached {
							c.reached[path] = true
						}
					}
				}
			}
			for _, e := range all {
				total += len(e.calls)
			}
			spans := w.Settled(total)
			unmatched, missing := losses(t, w), 0
			for _, e := range all {
				missing += len(verify(t, e, spans).missing)
			}
			require.LessOrEqual(t, missing, unmatched, "calls are missing that are not counted")
		})
	}
}
