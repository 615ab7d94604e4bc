// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	xhttp2 "golang.org/x/net/http2"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

func detectBytes(role exchange.Role, midstream bool, requests, responses string) protocol.Verdict {
	req := protocol.Received
	if role == client {
		req = protocol.Sent
	}
	e := protocol.Evidence{Role: role, MidStream: midstream}
	e.Bytes[req], e.Bytes[req.Other()] = []byte(requests), []byte(responses)
	verdict, dir := detect(&e)
	if verdict == protocol.Accepted && role != exchange.RoleUnknown && dir != req {
		return protocol.Rejected
	}
	return verdict
}

func TestDetect(t *testing.T) {
	t.Parallel()
	settings := string(newSide().settings(xhttp2.Setting{ID: xhttp2.SettingMaxConcurrentStreams, Val: 100}).take())
	request := string(newSide().headers(7, true, get("/x")...).take())
	response := string(newSide().headers(7, false, ":status", "200", "a", "b").data(7, true, "x").take())
	byIndex := newSide()
	byIndex.headers(1, true, get("/x")...).take()
	again := string(byIndex.headers(3, true, get("/x")...).take())
	for _, role := range []exchange.Role{client, server, exchange.RoleUnknown} {
		require.Equal(t, protocol.Accepted, detectBytes(role, false, preface, ""))
		require.Equal(t, protocol.Accepted, detectBytes(role, false, preface+settings, settings))
		require.Equal(t, protocol.Undecided, detectBytes(role, false, preface[:7], ""))
		require.Equal(t, protocol.Undecided, detectBytes(role, false, "", settings))
		require.Equal(t, protocol.Accepted, detectBytes(role, true, request, ""))
		require.Equal(t, protocol.Accepted, detectBytes(role, true, again, ""))
		require.Equal(t, protocol.Accepted, detectBytes(role, true, "", response))
		require.Equal(t, protocol.Undecided, detectBytes(role, true, request[:9], ""))
	}
	require.Equal(t, protocol.Rejected, detectBytes(server, false, "", preface), "who sends requests is a client")
}

// What other protocols begin with; the client's bytes and the server's.
var others = map[string][2]string{
	"TLS":               {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "01234567890123456789012345678901", "\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03abcdefgh"},
	"TLS data":          {"\x17\x03\x03\x00\x20abcdefghijklmnopqrstuvwxyz012345", "\x17\x03\x03\x00\x20abcdefghijklmnopqrstuvwxyz012345"},
	"SSH":               {"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"},
	"HTTP":              {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	"HTTP POST":         {"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 204 No Content\r\n\r\n"},
	"PROPFIND":          {"PROPFIND / HTTP/1.1\r\n\r\n", "HTTP/1.1 207 Multi\r\n\r\n"},
	"PostgreSQL":        {"\x00\x00\x00\x29\x00\x03\x00\x00user\x00postgres\x00database\x00test\x00\x00", "R\x00\x00\x00\x08\x00\x00\x00\x00S\x00\x00\x00\x16application_name\x00\x00"},
	"PostgreSQL, query": {"Q\x00\x00\x00\x0dSELECT 1\x00", "T\x00\x00\x00\x21\x00\x01?column?\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00"},
	"PostgreSQL, SSL":   {"\x00\x00\x00\x08\x04\xd2\x16\x2f", "N"},
	"MySQL":             {"\x54\x00\x00\x01\x8d\xa6\x0f\x00\x00\x00\x00\x01\x08\x00\x00\x00", "\x4a\x00\x00\x00\x0a5.7.40\x00\x2c\x00\x00\x00abcdefgh\x00"},
	"MySQL, query":      {"\x09\x00\x00\x00\x03SELECT 1", "\x01\x00\x00\x01\x01\x17\x00\x00\x02\x03def"},
	"Redis":             {"*1\r\n$4\r\nPING\r\n", "+PONG\r\n"},
	"Memcached":         {"get a\r\n", "END\r\n"},
	"Memcached, binary": {"\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00a", "\x81\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
	"MongoDB":           {"\x3b\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x26\x00\x00\x00", "\x2d\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x18\x00\x00\x00"},
	"Cassandra":         {"\x04\x00\x00\x00\x05\x00\x00\x00\x00", "\x84\x00\x00\x00\x06\x00\x00\x00\x00"},
	"Cassandra, query":  {"\x04\x00\x00\x01\x07\x00\x00\x00\x1a\x00\x00\x00\x13SELECT * FROM t", "\x84\x00\x00\x01\x08\x00\x00\x00\x04\x00\x00\x00\x01"},
	"Kafka":             {"\x00\x00\x00\x17\x00\x12\x00\x00\x00\x00\x00\x01\x00\x05admin\x00\x00", "\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"},
	"Kafka, metadata":   {"\x00\x00\x00\x14\x00\x03\x00\x01\x00\x00\x00\x02\x00\x02ab\xff\xff\xff\xff", "\x00\x00\x00\x04\x00\x00\x00\x00"},
	"AMQP":              {"AMQP\x00\x00\x09\x01", "\x01\x00\x00\x00\x00\x01\xd7\x00\x0a\x00\x0a\x00\x09"},
	"NATS":              {"CONNECT {\"verbose\":false}\r\nPING\r\n", "INFO {\"server_id\":\"x\"}\r\n"},
	"MQTT":              {"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test", "\x20\x02\x00\x00"},
	"FastCGI":           {"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00\x01\x04\x00\x01\x00\x00\x00\x00", "\x01\x06\x00\x01\x00\x10\x00\x00Status: 200 OK\r\n"},
	"zeros":             {string(make([]byte, 100)), string(make([]byte, 100))},
	"DNS":               {"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01", "\x00\x2d\x12\x34\x81\x80\x00\x01"},
}

func TestRejectsOthers(t *testing.T) {
	t.Parallel()
	for name, b := range others {
		for _, role := range []exchange.Role{client, server, exchange.RoleUnknown} {
			require.Equal(t, protocol.Rejected, detectBytes(role, false, b[0], b[1]), "%s %s", name, role)
			require.Equal(t, protocol.Rejected, detectBytes(role, false, b[0], ""), "%s %s", name, role)
			require.NotEqual(t, protocol.Accepted, detectBytes(role, false, "", b[1]), "%s %s", name, role)
			for _, both := range [][2]string{b, {b[1], b[0]}, {b[0], ""}, {"", b[1]}} {
				require.NotEqual(t, protocol.Accepted, detectBytes(role, true, both[0], both[1]), "%s %s, older", name, role)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 4))
	for range 200000 {
		b := make([]byte, 1+r.IntN(200))
		for i := range b {
			b[i] = byte(r.IntN(256))
			if r.IntN(2) == 0 {
				b[i] &= 7
			}
		}
		require.NotEqual(t, protocol.Accepted, detectBytes(server, true, string(b), ""), "%x", b)
	}
}
