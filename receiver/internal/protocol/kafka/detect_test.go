// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

func evidence(role exchange.Role, midstream bool, requests, responses []byte) *protocol.Evidence {
	e := &protocol.Evidence{Role: role, MidStream: midstream}
	dir := protocol.Sent
	if role == exchange.RoleServer {
		dir = protocol.Received
	}
	e.Bytes[dir], e.Bytes[dir.Other()] = requests, responses
	return e
}

func TestDetects(t *testing.T) {
	t.Parallel()
	for _, p := range messages(t) {
		if p.key == apiControlledShutdown && p.version == 0 || int(p.key) >= len(apis) {
			continue
		}
		p = p.as(70000 + int32(p.key))
		for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer, exchange.RoleUnknown} {
			dir := protocol.Sent
			if role == exchange.RoleServer {
				dir = protocol.Received
			}
			e := evidence(role, false, p.request, p.response)
			verdict, got := detect(e)
			require.Equal(t, protocol.Accepted, verdict, "%d %d", p.key, p.version)
			require.Equal(t, dir, got, "%d %d %v", p.key, p.version, role)
			verdict, _ = detect(evidence(role, false, p.request, nil))
			require.Equal(t, protocol.Undecided, verdict, "a response has to agree")
			verdict, got = detect(evidence(role, true, p.request, nil))
			require.Equal(t, protocol.Accepted, verdict, "older connections show one direction at a time")
			require.Equal(t, dir, got)
			for n := range len(p.request) {
				verdict, _ = detect(evidence(role, false, p.request[:n], nil))
				require.Equal(t, protocol.Undecided, verdict, "%d bytes", n)
			}
			verdict, _ = detect(evidence(role, false, p.request, with(p.response, 4, 77777)))
			require.Equal(t, protocol.Rejected, verdict, "another correlation id")
		}
	}
}

// others are beginnings of other protocols: what a client says and what a server says.
var others = map[string][2]string{
	"http":             {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	"http2":            {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00", "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00"},
	"postgresql":       {"\x00\x00\x00\x29\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00", "R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"},
	"postgresql long":  {"\x00\x00\x00\xa9\x00\x03\x00\x00user\x00dapplication_name_is_a_long_one_and_the_rest_of_it_follows_here_so_that_it_is_longer_than_a_client_id_could_be_0123456789_0123456789_0123456789_0123456789_01234567890123456789\x00", "R\x00\x00\x00\x08\x00\x00\x00\x00"},
	"postgresql ssl":   {"\x00\x00\x00\x08\x04\xd2\x16\x2f", "N"},
	"mysql":            {"\x20\x00\x00\x01\x85\xa6\xff\x01\x00\x00\x00\x01\x21\x00\x00\x00\x00\x00\x00\x00", "\x4a\x00\x00\x00\x0a8.0.30\x00\x08\x00\x00\x00"},
	"redis":            {"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "$-1\r\n"},
	"memcached":        {"get key\r\n", "VALUE key 0 1\r\na\r\nEND\r\n"},
	"memcached binary": {"\x80\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00key", "\x81\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x05"},
	"mongodb":          {"\x3a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00", "\x3a\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\xdd\x07\x00\x00"},
	"cassandra":        {"\x04\x00\x00\x00\x01\x00\x00\x00\x16\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0", "\x84\x00\x00\x00\x02\x00\x00\x00\x00"},
	"amqp":             {"AMQP\x00\x00\x09\x01", "\x01\x00\x00\x00\x00\x01\xf0\x00\x0a\x00\x0a\x00\x09"},
	"nats":             {"CONNECT {}\r\nPING\r\n", "INFO {\"server_id\":\"a\"}\r\n"},
	"mqtt":             {"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", "\x20\x02\x00\x00"},
	"fastcgi":          {"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00", "\x01\x06\x00\x01\x00\x10\x00\x00"},
	"tls":              {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaa", "\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"},
	"ssh":              {"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH_9.2\r\n"},
	"zookeeper":        {"\x00\x00\x00\x2d\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x75\x30\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10aaaaaaaaaaaaaaaa\x00", "\x00\x00\x00\x25\x00\x00\x00\x00\x00\x00\x75\x30\x00\x00\x00\x00\x00\x00\x00\x01"},
	"thrift":           {"\x00\x00\x00\x1a\x80\x01\x00\x01\x00\x00\x00\x04ping\x00\x00\x00\x00\x00", "\x00\x00\x00\x12\x80\x01\x00\x02\x00\x00\x00\x04ping"},
	"dns":              {"\x00\x1c\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01", "\x00\x2c\x12\x34\x81\x80\x00\x01\x00\x01"},
	"zeros":            {string(make([]byte, 100)), string(make([]byte, 100))},
}

func TestRejectsOthers(t *testing.T) {
	t.Parallel()
	check := func(name string, a, b []byte) {
		for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer, exchange.RoleUnknown} {
			for _, mid := range []bool{false, true} {
				for _, e := range []*protocol.Evidence{evidence(role, mid, a, b), evidence(role, mid, b, a), evidence(role, mid, a, nil), evidence(role, mid, nil, b)} {
					verdict, _ := detect(e)
					require.NotEqual(t, protocol.Accepted, verdict, "%s %v %v", name, role, mid)
				}
			}
		}
		verdict, _ := detect(evidence(exchange.RoleClient, false, a, b))
		require.Equal(t, protocol.Rejected, verdict, "%s", name)
	}
	for name, p := range others {
		check(name, []byte(p[0]), []byte(p[1]))
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 100000 {
		a, b := make([]byte, 64), make([]byte, 64)
		for i := range a {
			a[i], b[i] = byte(r.Uint32()), byte(r.Uint32())
		}
		for _, mid := range []bool{false, true} {
			verdict, _ := detect(evidence(exchange.RoleUnknown, mid, a, b))
			require.NotEqual(t, protocol.Accepted, verdict)
		}
	}
}
