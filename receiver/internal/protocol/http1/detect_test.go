// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

func TestDetect(t *testing.T) {
	p := New(Options{})
	require.Equal(t, "http", p.Name())
	for name, tc := range map[string]struct {
		request, response string
		mid               bool
		want              protocol.Verdict
	}{
		"nothing":               {want: protocol.Undecided},
		"request":               {request: get, want: protocol.Accepted},
		"request line":          {request: "POST /x?y HTTP/1.0\n", want: protocol.Accepted},
		"empty line before":     {request: "\r\nGET / HTTP/1.1\r\n", want: protocol.Accepted},
		"own method":            {request: "FROBNICATE /x HTTP/1.1\r\n", want: protocol.Accepted},
		"asterisk":              {request: "OPTIONS * HTTP/1.1\r\n", want: protocol.Accepted},
		"absolute":              {request: "GET http://a/b HTTP/1.1\r\n", want: protocol.Accepted},
		"authority":             {request: "CONNECT a:443 HTTP/1.1\r\n", want: protocol.Accepted},
		"long line, incomplete": {request: "GET /" + strings.Repeat("x", 5000), want: protocol.Undecided},
		"too long":              {request: "GET /" + strings.Repeat("x", 9000), want: protocol.Rejected},
		"long method":           {request: strings.Repeat("x", 40), want: protocol.Rejected},
		"h2 preface":            {request: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", want: protocol.Rejected},
		"h2 preface, part":      {request: "PRI * HTTP/2", want: protocol.Rejected},
		"tls":                   {request: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", want: protocol.Rejected},
		"ssh":                   {request: "SSH-2.0-OpenSSH_9.6\r\n", response: "SSH-2.0-OpenSSH_9.6\r\n", want: protocol.Rejected},
		"ssh banner":            {response: "SSH-2.0-OpenSSH_9.6\r\n", want: protocol.Rejected},
		"smtp banner":           {response: "220 mail ESMTP\r\n", want: protocol.Rejected},
		"smtp":                  {request: "EHLO me\r\n", want: protocol.Rejected},
		"redis":                 {request: "*1\r\n$4\r\nPING\r\n", want: protocol.Rejected},
		"redis inline":          {request: "PING\r\n", want: protocol.Rejected},
		"redis inline get":      {request: "GET key\r\n", want: protocol.Rejected},
		"redis, reply seen":     {request: "SET", response: "+OK\r\n", want: protocol.Rejected},
		"memcached":             {request: "get a b\r\n", want: protocol.Rejected},
		"postgresql":            {request: "\x00\x00\x00\x08\x04\xd2\x16\x2f", want: protocol.Rejected},
		"mysql":                 {response: "J\x00\x00\x00\x0a8.0.36\x00", want: protocol.Rejected},
		"kafka":                 {request: "\x00\x00\x00\x23\x00\x12\x00\x04", want: protocol.Rejected},
		"nats":                  {request: "CONNECT {}\r\n", response: "INFO {}\r\n", want: protocol.Rejected},
		"sip":                   {request: "OPTIONS sip:a@b SIP/2.0\r\n", want: protocol.Rejected},
		"rtsp":                  {request: "DESCRIBE rtsp://a/b RTSP/1.0\r\n", want: protocol.Rejected},
		"random":                {request: "\x9f\x03\xaa\x00", response: "\x01\x02", want: protocol.Rejected},
		"status line":           {response: ok2, want: protocol.Accepted},
		"status line, mid":      {request: "\x00body", response: ok2, mid: true, want: protocol.Accepted},
		"status line, not mid":  {request: "\x00body", response: ok2, want: protocol.Rejected},
		"part of a status line": {request: "GET / HT", response: "HTTP/1.1 2", want: protocol.Undecided},
		"mid, nothing decisive": {request: "\x00body", response: "abc", mid: true, want: protocol.Undecided},
		"mid, later request":    {request: "{\"a\":1}POST /x HTTP/1.1\r\n", mid: true, want: protocol.Accepted},
		"mid, later response":   {response: "body\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n", mid: true, want: protocol.Accepted},
		"mid, too much":         {request: strings.Repeat("a b\r\n", 2000), response: strings.Repeat("x", 8000), mid: true, want: protocol.Rejected},
		"mid, tls":              {request: "\x17\x03\x03\x00", response: "\x17\x03\x03\x01", mid: true, want: protocol.Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer, exchange.RoleUnknown} {
				dirs := []protocol.Direction{protocol.Sent}
				switch role {
				case exchange.RoleServer:
					dirs[0] = protocol.Received
				case exchange.RoleUnknown:
					dirs = append(dirs, protocol.Received)
				}
				for _, dir := range dirs {
					e := &protocol.Evidence{Role: role, MidStream: tc.mid}
					e.Bytes[dir], e.Bytes[dir.Other()] = []byte(tc.request), []byte(tc.response)
					v, got := p.Detect(e)
					require.Equal(t, tc.want, v, "role %s", role)
					if v == protocol.Accepted {
						require.Equal(t, dir, got)
					}
				}
			}
		})
	}
	// Every prefix of a request line leaves it open.
	const l = "DELETE /some/thing HTTP/1.1\r\n"
	for i := range len(l) {
		v, _ := p.Detect(&protocol.Evidence{Role: exchange.RoleClient, Bytes: [2][]byte{protocol.Sent: []byte(l[:i])}})
		require.Equal(t, protocol.Undecided, v, l[:i])
	}
	// A known role is not overruled.
	v, _ := p.Detect(&protocol.Evidence{Role: exchange.RoleServer, Bytes: [2][]byte{protocol.Sent: []byte(get)}})
	require.Equal(t, protocol.Rejected, v)
}

func TestDetectAllocations(t *testing.T) {
	p := New(Options{})
	e := &protocol.Evidence{Role: exchange.RoleUnknown, MidStream: true, Bytes: [2][]byte{[]byte("{} GET / HTTP/1.1"), []byte("HTTP/1.1 20")}}
	require.Zero(t, testing.AllocsPerRun(100, func() { p.Detect(e) }))
}
