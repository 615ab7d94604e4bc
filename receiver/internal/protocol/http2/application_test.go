// SPDX-License-Identifier: Apache-2.0

package http2

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

func request(method, path string, more ...string) []string {
	return append([]string{":method", method, ":scheme", "http", ":authority", "h:9200", ":path", path}, more...)
}

func response(more ...string) []string { return append([]string{":status", "200"}, more...) }

const document = `{"query":"query Q { a }"}`

var told = []struct {
	request  []string
	body     string
	response []string
	answer   string
	want     string
}{
	{request("GET", "/photos/a", "authorization", "AWS4-HMAC-SHA256 Credential=AKID/20261123/eu-west-1/s3/aws4_request,Signature=00"), "",
		response("x-amz-request-id", "1"), "ok", "S3.GetObject S3/GetObject"},
	{request("GET", "/photos/a", "authorization", "Bearer x"), "", response("x-amz-request-id", "1"), "ok", "GET"},
	{request("POST", "/books/_search"), "{}", response("x-elastic-product", "Elasticsearch"), "{}", "search books elasticsearch"},
	{request("POST", "/books/_search"), "{}", response("x-opensearch-version", "3"), "", "search books opensearch"},
	{request("POST", "/books/_search"), "{}", response(), `{"took":5}`, "search books elasticsearch"},
	{request("POST", "/books/_search"), "{}", response(), `{"tuck":5}`, "POST"},
	{request("POST", "/graphql"), document, response(), "{}", "POST query Q"},
	{request("POST", "/graphql"), strings.Replace(document, "Q", "Q"+strings.Repeat("q", 3000), 1), response(), "{}", "POST query"},
	{request("POST", "/api"), document, response("content-type", "application/graphql-response+json"), "{}", "POST query Q"},
	{request("POST", "/api"), document, response("content-type", "application/json"), "{}", "POST"},
}

// All at once on one connection, in pieces of any size; bodies in one frame or several.
func TestApplications(t *testing.T) {
	for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
		for _, size := range []int{1, 3, 50, 1 << 20} {
			for _, frame := range []int{1, 5, 1 << 14} {
				t.Run(fmt.Sprint(role, size, frame), func(t *testing.T) {
					sink, req := &names{}, protocol.Received
					if role == exchange.RoleClient {
						req = protocol.Sent
					}
					p := New(Options{HTTP: true}).New(protocol.Host{Connection: &exchange.Connection{Role: role}, Sink: sink, Stats: &protocol.Stats{}}, req)
					now := uint64(1000)
					at := [2]uint64{}
					pass := func(dir protocol.Direction, b []byte) {
						for n := 0; len(b) > 0; b = b[n:] {
							n = min(size, len(b))
							now += 10
							require.NoError(t, p.Segment(&protocol.Segment{Dir: dir, Data: b[:n], Len: n, Offset: at[dir], Time: now, First: now}))
							at[dir] += uint64(n)
						}
					}
					c, s := newSide(), newSide()
					c.raw(preface).settings()
					s.settings()
					body := func(to *side, id uint32, b string) {
						for len(b) > frame {
							to.data(id, false, b[:frame])
							b = b[frame:]
						}
						to.data(id, true, b)
					}
					var want []string
					for round := range 2 { // the second by index
						for i, x := range told {
							id := uint32(1 + 2*(i+round*len(told)))
							c.headers(id, x.body == "", x.request...)
							if x.body != "" {
								body(c, id, x.body)
							}
							s.headers(id, x.answer == "", x.response...)
							if x.answer != "" {
								body(s, id, x.answer)
							}
							want = append(want, x.want)
						}
					}
					pass(req, c.take())
					pass(req.Other(), s.take())
					require.Equal(t, want, sink.got)
				})
			}
		}
	}
}

// On a client, a response may be seen before its request.
func TestApplicationOvertaken(t *testing.T) {
	sink := &names{}
	p := New(Options{HTTP: true}).New(protocol.Host{Connection: &exchange.Connection{Role: exchange.RoleClient}, Sink: sink, Stats: &protocol.Stats{}}, protocol.Sent)
	c, s := newSide(), newSide()
	at, now := [2]uint64{}, uint64(1000)
	pass := func(dir protocol.Direction, b []byte) {
		now += 10
		require.NoError(t, p.Segment(&protocol.Segment{Dir: dir, Data: b, Len: len(b), Offset: at[dir], Time: now, First: now}))
		at[dir] += uint64(len(b))
	}
	c.raw(preface).settings()
	s.settings()
	pass(protocol.Sent, c.take())
	pass(protocol.Received, s.take())
	s.headers(1, false, told[0].response...).data(1, true, "ok")
	c.headers(1, true, told[0].request...)
	pass(protocol.Received, s.take())
	pass(protocol.Sent, c.take())
	require.Equal(t, []string{told[0].want}, sink.got)
}
