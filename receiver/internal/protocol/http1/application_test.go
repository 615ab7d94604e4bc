// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// names is a Sink that keeps the spans' names, and what an application adds.
type names struct{ got []string }

func (*names) Begin(*exchange.Exchange)   {}
func (*names) Abandon(*exchange.Exchange) {}
func (n *names) End(x *exchange.Exchange) {
	m := pcommon.NewMap()
	x.Detail.PutSpanAttributes(x, m)
	text := x.Detail.SpanName(x)
	for _, key := range []string{"db.system.name", "rpc.method", "graphql.operation.type", "graphql.operation.name"} {
		if v, ok := m.Get(key); ok {
			text += " " + v.AsString()
		}
	}
	n.got = append(n.got, text)
}

const (
	s3Request = "GET /photos/a HTTP/1.1\r\nHost: h:9000\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKID/20261123/eu-west-1/s3/aws4_request," +
		"SignedHeaders=host,Signature=00\r\n\r\n"
	s3Response     = "HTTP/1.1 200 OK\r\nX-Amz-Request-Id: 1\r\nContent-Length: 2\r\n\r\nok"
	searchRequest  = "POST /books/_search HTTP/1.1\r\nHost: h:9200\r\nContent-Length: 2\r\n\r\n{}"
	searchResponse = "HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\nContent-Length: 10\r\n\r\n{\"took\":5}"
	bareResponse   = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"took\":5}"
	chunkedAnswer  = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"to\r\n6\r\nok\":5}\r\n0\r\n\r\n"
	graphRequest   = "POST /graphql HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{\"query\":\"query Q { a }\"}  "
	graphChunked   = "POST /graphql HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n19\r\n{\"query\":\"query Q { a }\"}\r\n0\r\n\r\n"
	graphElsewhere = "POST /api HTTP/1.1\r\nHost: h\r\nContent-Length: 27\r\n\r\n{\"query\":\"query Q { a }\"}  "
	graphResponse  = "HTTP/1.1 200 OK\r\nContent-Type: application/graphql-response+json\r\nContent-Length: 2\r\n\r\n{}"
	bearerRequest  = "GET /photos/a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer AWS4-HMAC-SHA256\r\n\r\n"
	plainRequest   = "POST /api HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\n{\"id\":1}"
)

var told = []struct{ request, response, want string }{
	{s3Request, s3Response, "S3.GetObject S3/GetObject"},
	{strings.Replace(s3Request, "Signed", "\r\n Signed", 1), s3Response, "S3.GetObject S3/GetObject"}, // folded
	{bearerRequest, s3Response, "GET"},
	{s3Request, bareResponse, "GET"},
	{searchRequest, searchResponse, "search books elasticsearch"},
	{searchRequest, bareResponse, "search books elasticsearch"},
	{searchRequest, chunkedAnswer, "search books elasticsearch"},
	{searchRequest, strings.Replace(bareResponse, "took", "tuck", 1), "POST"},
	{graphRequest, bareResponse, "POST query Q"},
	{graphChunked, bareResponse, "POST query Q"},
	{graphElsewhere, graphResponse, "POST query Q"},
	{graphElsewhere, bareResponse, "POST"},
	{plainRequest, bareResponse, "POST"},
}

func observed(dir protocol.Direction, pieces []string) (*names, protocol.Parser, func(protocol.Direction, string)) {
	sink, stats, now := &names{}, &protocol.Stats{}, uint64(1000)
	role := exchange.RoleServer
	if dir == protocol.Sent {
		role = exchange.RoleClient
	}
	p := New(Options{}).New(protocol.Host{Connection: &exchange.Connection{Role: role}, Sink: sink, Stats: stats}, dir)
	pass := func(dir protocol.Direction, b string) {
		now += 10
		_ = p.Segment(&protocol.Segment{Dir: dir, Data: []byte(b), Len: len(b), Time: now, First: now})
	}
	for i, b := range pieces {
		d := dir
		if i%2 == 1 {
			d = dir.Other()
		}
		pass(d, b)
	}
	return sink, p, pass
}

// All on one connection, whole and in pieces of any size, on both sides.
func TestApplications(t *testing.T) {
	for _, dir := range []protocol.Direction{protocol.Sent, protocol.Received} {
		for _, size := range []int{1, 2, 7, 64, 1 << 20} {
			t.Run(fmt.Sprint(dir, size), func(t *testing.T) {
				sink, _, pass := observed(dir, nil)
				var want []string
				for range 2 { // what repeats is recognised, too
					for _, c := range told {
						for _, part := range []step{{">", c.request}, {"<", c.response}} {
							to := dir
							if part.arrow == "<" {
								to = dir.Other()
							}
							for b := part.bytes; len(b) > 0; b = b[min(size, len(b)):] {
								pass(to, b[:min(size, len(b))])
							}
						}
						want = append(want, c.want)
					}
				}
				require.Equal(t, want, sink.got)
			})
		}
	}
}

// Pipelined requests keep what is theirs.
func TestApplicationsPipelined(t *testing.T) {
	var requests, responses string
	var want []string
	for _, c := range told {
		requests, responses, want = requests+c.request, responses+c.response, append(want, c.want)
	}
	sink, _, _ := observed(protocol.Received, []string{requests, responses})
	require.Equal(t, want, sink.got)
}

// A body of which the beginning was lost is none; its rest is not taken for it.
func TestApplicationHoles(t *testing.T) {
	sink, p, pass := observed(protocol.Sent, nil)
	head, body, _ := strings.Cut(graphRequest, "\r\n\r\n")
	pass(protocol.Sent, head+"\r\n\r\n")
	require.NoError(t, p.Segment(&protocol.Segment{Dir: protocol.Sent, Data: []byte(body[1:]), Len: len(body) - 1, Lost: 1, Time: 2000, First: 2000}))
	pass(protocol.Received, bareResponse)
	pass(protocol.Sent, plainRequest)
	pass(protocol.Received, bareResponse)
	require.Equal(t, []string{"POST", "POST"}, sink.got)
}

// On a client, a response may be seen before its request.
func TestApplicationOvertaken(t *testing.T) {
	for _, c := range []struct{ request, response, want string }{
		{s3Request, s3Response, "S3.GetObject S3/GetObject"}, {searchRequest, searchResponse, "search books elasticsearch"}, {plainRequest, bareResponse, "POST"},
	} {
		sink, stats := &names{}, &protocol.Stats{}
		p := New(Options{}).New(protocol.Host{Connection: &exchange.Connection{Role: exchange.RoleClient}, Sink: sink, Stats: stats}, protocol.Sent)
		for range 3 {
			require.NoError(t, p.Segment(&protocol.Segment{Dir: protocol.Received, Data: []byte(c.response), Len: len(c.response), Time: 30, First: 30}))
			require.NoError(t, p.Segment(&protocol.Segment{Dir: protocol.Sent, Data: []byte(c.request), Len: len(c.request), Time: 40, First: 10}))
		}
		require.Equal(t, []string{c.want, c.want, c.want}, sink.got)
	}
}

func TestApplicationAllocations(t *testing.T) {
	for _, c := range told {
		if strings.Contains(c.request, "\r\n Signed") {
			continue // unfolding allocates
		}
		e := newExchanger(step{">", c.request}, step{"<", c.response})
		for range 10 {
			e.run()
		}
		require.Zero(t, testing.AllocsPerRun(100, e.run), c.request)
	}
}

func BenchmarkApplication(b *testing.B) {
	for _, name := range []string{"s3", "elasticsearch", "graphql"} {
		c := map[string][2]string{"s3": {s3Request, s3Response}, "elasticsearch": {searchRequest, searchResponse}, "graphql": {graphRequest, bareResponse}}[name]
		b.Run(name, func(b *testing.B) { newExchanger(step{">", c[0]}, step{"<", c[1]}).loop(b, 1) })
	}
}
