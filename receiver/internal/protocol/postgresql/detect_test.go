// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

func detectBoth(requests, responses string, mid bool) (client, server protocol.Verdict) {
	p := New(Options{})
	client, dir := p.Detect(&protocol.Evidence{Role: exchange.RoleClient, MidStream: mid, Bytes: [2][]byte{protocol.Sent: []byte(requests), protocol.Received: []byte(responses)}})
	if client == protocol.Accepted && dir != protocol.Sent {
		panic("direction")
	}
	server, dir = p.Detect(&protocol.Evidence{Role: exchange.RoleServer, MidStream: mid, Bytes: [2][]byte{protocol.Received: []byte(requests), protocol.Sent: []byte(responses)}})
	if server == protocol.Accepted && dir != protocol.Received {
		panic("direction")
	}
	return client, server
}

func TestDetect(t *testing.T) {
	for name, tc := range map[string]struct {
		requests, responses string
		mid                 bool
		want                protocol.Verdict
	}{
		"startup":            {startupMessage("user", "u"), "", false, protocol.Accepted},
		"startup 3.2":        {startupPacket(3<<16|2, "database\x00d\x00user\x00u\x00\x00"), "", false, protocol.Accepted},
		"ssl":                {sslRequest, "", false, protocol.Accepted},
		"gss":                {gssRequest, "", false, protocol.Accepted},
		"cancel":             {cancelRequest, "", false, protocol.Accepted},
		"a byte":             {"\x00", "", false, protocol.Undecided},
		"head of startup":    {startupMessage("user", "u")[:9], "", false, protocol.Undecided},
		"no user":            {startupMessage("database", "u"), "", false, protocol.Rejected},
		"version 2":          {startupPacket(2<<16, strings.Repeat("\x00", 288)), "", false, protocol.Rejected},
		"query, new":         {query("SELECT 1"), "", false, protocol.Rejected},
		"query":              {query("SELECT 1"), "", true, protocol.Accepted},
		"long query":         {query(strings.Repeat("SELECT 1 ", 1000))[:2000], "", true, protocol.Accepted},
		"group":              {bind("", "s", "x") + describePortal + execute("") + syncMessage, "", true, protocol.Accepted},
		"sync":               {syncMessage, "", true, protocol.Undecided},
		"terminate":          {terminate, "", true, protocol.Undecided},
		"answer":             {"", rowDesc + row("x") + complete("SELECT 1") + idle, true, protocol.Accepted},
		"answer to prepared": {"", bindComplete + row("x") + complete("SELECT 1") + idle, true, protocol.Accepted},
		"error":              {"", failure("ERROR", "42601") + idle, true, protocol.Accepted},
		"ready":              {"", idle, true, protocol.Undecided},
		"part of an answer":  {"", rowDesc + row("x")[:9], true, protocol.Undecided},
		"middle":             {"", row("x")[5:], true, protocol.Undecided},
	} {
		client, server := detectBoth(tc.requests, tc.responses, tc.mid)
		require.Equal(t, tc.want, client, name)
		require.Equal(t, tc.want, server, name)
	}
	// Byte by byte, a startup is never refused.
	for _, packet := range []string{startupMessage("user", "u", "database", "d"), sslRequest, gssRequest, cancelRequest, startupPacket(3<<16|2, "user\x00u\x00\x00")} {
		for n := range len(packet) {
			client, server := detectBoth(packet[:n], "", false)
			require.NotEqual(t, protocol.Rejected, client)
			require.NotEqual(t, protocol.Rejected, server)
		}
	}
}

// others are the beginnings of other protocols: of clients and of servers.
var others = map[string][2]string{
	"http":       {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	"http post":  {"POST /Q HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"},
	"http2":      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00"},
	"tls":        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"},
	"ssh":        {"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"},
	"mysql":      {"\x20\x00\x00\x01\x85\xa6\xff\x01\x00\x00\x00\x01\x2d", "\x4a\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00"},
	"mysql com":  {"\x09\x00\x00\x00\x03SELECT 1", "\x01\x00\x00\x01\x01\x17\x00\x00\x02\x03def\x00\x00\x00"},
	"redis":      {"*1\r\n$4\r\nPING\r\n", "+PONG\r\n"},
	"memcached":  {"get key\r\n", "END\r\n"},
	"memcache b": {"\x80\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x03", "\x81\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x07"},
	"mongodb":    {"\x3a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00", "\x30\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\xdd\x07\x00\x00\x00"},
	"cassandra":  {"\x04\x00\x00\x01\x01\x00\x00\x00\x16\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0", "\x84\x00\x00\x01\x02\x00\x00\x00\x00"},
	"kafka":      {"\x00\x00\x00\x16\x00\x12\x00\x03\x00\x00\x00\x01\x00\x06client\x00\x01a\x01b\x00", "\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"},
	"kafka meta": {"\x00\x00\x00\x14\x00\x03\x00\x00\x00\x00\x00\x01\x00\x06client\x00\x00\x00\x00", "\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"},
	"amqp":       {"AMQP\x00\x00\x09\x01", "\x01\x00\x00\x00\x00\x00\x0b\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x00\xce"},
	"nats":       {"CONNECT {\"verbose\":false}\r\nPING\r\n", "INFO {\"server_id\":\"x\"}\r\n"},
	"mqtt":       {"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a", "\x20\x02\x00\x00"},
	"fastcgi":    {"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00", "\x01\x06\x00\x01\x00\x10\x00\x00Content-Type: x"},
	"dns":        {"\x00\x1d\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01", "\x00\x1d\xab\xcd\x81\x80"},
	"smtp":       {"EHLO x\r\n", "220 mail ESMTP\r\n"},
}

func TestOthersAreRejected(t *testing.T) {
	for name, o := range others {
		for _, mid := range []bool{false, true} {
			for _, b := range [][2]string{o, {o[0], ""}, {"", o[1]}, {o[1], o[0]}} {
				client, server := detectBoth(b[0], b[1], mid)
				require.NotEqual(t, protocol.Accepted, client, name)
				require.NotEqual(t, protocol.Accepted, server, name)
				if !mid && b[0] != "" {
					require.Equal(t, protocol.Rejected, client, name)
					require.Equal(t, protocol.Rejected, server, name)
				}
			}
		}
	}
	r := rand.New(rand.NewPCG(8, 9))
	for range 20000 {
		var b [2]string
		for i := range b {
			random := make([]byte, r.IntN(64))
			for j := range random {
				random[j] = byte(r.Uint32()) & byte(r.Uint32()|r.Uint32())
			}
			b[i] = string(random)
		}
		for _, mid := range []bool{false, true} {
			client, server := detectBoth(b[0], b[1], mid)
			require.NotEqual(t, protocol.Accepted, client)
			require.NotEqual(t, protocol.Accepted, server)
		}
	}
}
