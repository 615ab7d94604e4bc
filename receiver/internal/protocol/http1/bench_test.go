// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

const (
	// As curl and a Go client behind a proxy send it; 287 bytes.
	benchRequest = "GET /api/users/42?verbose=true HTTP/1.1\r\n" +
		"Host: users.production.svc.cluster.local:8080\r\n" +
		"User-Agent: Go-http-client/1.1\r\n" +
		"Accept: application/json\r\n" +
		"Accept-Encoding: gzip\r\n" +
		"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n" +
		"X-Request-Id: 7f9c24e8\r\n\r\n"
	// As nginx sends it, with a body of 24 bytes.
	benchResponse = "HTTP/1.1 200 OK\r\n" +
		"Server: nginx/1.27.0\r\n" +
		"Date: Mon, 23 Nov 2026 07:41:25 GMT\r\n" +
		"Content-Type: application/json\r\n" +
		"Content-Length: 24\r\n" +
		"Connection: keep-alive\r\n\r\n" +
		`{"id":42,"name":"alice"}`
	benchChunked = "HTTP/1.1 200 OK\r\n" +
		"Date: Mon, 23 Nov 2026 07:41:25 GMT\r\n" +
		"Content-Type: application/json\r\n" +
		"Transfer-Encoding: chunked\r\n\r\n" +
		"18\r\n" + `{"id":42,"name":"alice"}` + "\r\n18\r\n" + `{"id":43,"name":"bobby"}` + "\r\n0\r\n\r\n"
)

// behindProxies is a request as a mesh or a cloud's load balancer passes it on,
// with headers between the name of the host and the end; 10 of them begin with
// an X.
func behindProxies(headers string) string {
	return "GET /api/users/42?verbose=true HTTP/1.1\r\n" +
		"Host: users.production.svc.cluster.local:8080\r\n" +
		"User-Agent: Go-http-client/1.1\r\n" +
		"Accept: application/json\r\n" +
		"Accept-Encoding: gzip\r\n" +
		"X-Forwarded-For: 203.0.113.7, 10.0.0.12\r\n" +
		"X-Forwarded-Host: api.example.com\r\n" +
		"X-Forwarded-Port: 443\r\n" +
		"X-Forwarded-Proto: https\r\n" +
		"X-Forwarded-Server: ingress-7d9f\r\n" +
		"X-Real-Ip: 203.0.113.7\r\n" +
		"X-Api-Version: 2026-01-01\r\n" +
		"X-Envoy-Attempt-Count: 1\r\n" +
		"X-Envoy-Internal: true\r\n" +
		"X-Request-Id: 7f9c24e8-1111-2222-3333-444455556666\r\n" + headers + "\r\n"
}

// What a request says of its trace, in each format.
var benchContexts = map[string]string{
	"none":     "",
	"w3c":      "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
	"w3cstate": "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nTracestate: a=1,b=2\r\n",
	"b3":       "B3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90\r\n",
	"b3multi": "X-B3-TraceId: 80f198ee56343ba864fe8b2a57d3eff7\r\nX-B3-SpanId: e457b5a2e4d86bd1\r\n" +
		"X-B3-ParentSpanId: 05e3ac9a4f6e3b90\r\nX-B3-Sampled: 1\r\n",
	"jaeger": "Uber-Trace-Id: 80f198ee56343ba864fe8b2a57d3eff7:e457b5a2e4d86bd1:0:1\r\n",
	"xray":   "X-Amzn-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1\r\n",
}

type countingSink struct{ begun, ended, abandoned int }

func (s *countingSink) Begin(*exchange.Exchange)   { s.begun++ }
func (s *countingSink) End(*exchange.Exchange)     { s.ended++ }
func (s *countingSink) Abandon(*exchange.Exchange) { s.abandoned++ }

// exchanger feeds the same segments over and over.
type exchanger struct {
	sink     countingSink
	stats    protocol.Stats
	parser   protocol.Parser
	segments []protocol.Segment
	now      uint64
}

func newExchanger(steps ...step) *exchanger {
	e := &exchanger{}
	host := protocol.Host{Connection: &exchange.Connection{Role: exchange.RoleServer}, Sink: &e.sink, Stats: &e.stats}
	e.parser = New(Options{}).New(host, protocol.Received)
	for i, st := range steps {
		s := protocol.Segment{Dir: protocol.Received, Len: len(st.bytes), Data: []byte(st.bytes), PID: 1, TID: 1}
		if st.arrow == "<" {
			s.Dir = protocol.Sent
		}
		s.Identity.Seed, s.Identity.Trace = uint64(i+1), uint64(i+1)
		e.segments = append(e.segments, s)
	}
	return e
}

func (e *exchanger) run() {
	for i := range e.segments {
		s := &e.segments[i]
		e.now += 1000
		s.First, s.Time = e.now, e.now
		if err := e.parser.Segment(s); err != nil {
			panic(err)
		}
	}
	_ = e.parser.Window()
}

func (e *exchanger) loop(b *testing.B, each int) {
	b.ReportAllocs()
	for b.Loop() {
		e.run()
	}
	if e.sink.ended != b.N*each {
		b.Fatalf("%d exchanges in %d runs", e.sink.ended, b.N)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(e.sink.ended), "ns/exchange")
}

func conversations() map[string][]step {
	third := len(benchResponse) / 3
	return map[string][]step{
		"pair":     {{">", benchRequest}, {"<", benchResponse}},
		"pipeline": {{">", strings.Repeat(benchRequest, 16)}, {"<", strings.Repeat(benchResponse, 16)}},
		"chunked":  {{">", benchRequest}, {"<", benchChunked}},
		"split":    {{">", benchRequest[:100]}, {">", benchRequest[100:]}, {"<", benchResponse[:third]}, {"<", benchResponse[third:]}},
	}
}

func BenchmarkPair(b *testing.B)      { newExchanger(conversations()["pair"]...).loop(b, 1) }
func BenchmarkPipelined(b *testing.B) { newExchanger(conversations()["pipeline"]...).loop(b, 16) }
func BenchmarkChunked(b *testing.B)   { newExchanger(conversations()["chunked"]...).loop(b, 1) }
func BenchmarkSplit(b *testing.B)     { newExchanger(conversations()["split"]...).loop(b, 1) }

func BenchmarkContext(b *testing.B) {
	for _, name := range []string{"none", "w3c", "w3cstate", "b3", "b3multi", "jaeger", "xray"} {
		b.Run(name, func(b *testing.B) {
			// Two requests, so that none repeats the one before.
			request := behindProxies(benchContexts[name])
			e := newExchanger(step{">", request}, step{"<", benchResponse},
				step{">", strings.Replace(request, "7f9c24e8", "0ad155c3", 1)}, step{"<", benchResponse})
			e.loop(b, 2)
		})
	}
}

func BenchmarkDetect(b *testing.B) {
	p := New(Options{})
	e := &protocol.Evidence{Role: exchange.RoleServer, Bytes: [2][]byte{[]byte(benchRequest), nil}}
	b.ReportAllocs()
	for b.Loop() {
		p.Detect(e)
	}
}

func TestAllocations(t *testing.T) {
	for name, steps := range conversations() {
		t.Run(name, func(t *testing.T) {
			e := newExchanger(steps...)
			for range 10 {
				e.run()
			}
			require.Zero(t, testing.AllocsPerRun(100, e.run))
			require.Equal(t, e.sink.begun, e.sink.ended)
		})
	}
	for name, headers := range benchContexts {
		t.Run(name, func(t *testing.T) {
			e := newExchanger(step{">", behindProxies(headers)}, step{"<", benchResponse})
			e.run()
			require.Zero(t, testing.AllocsPerRun(100, e.run))
		})
	}
}
