// SPDX-License-Identifier: Apache-2.0

package brokertest

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// others are how connections of protocols begin: what their client and their server say
// first.
var others = map[string][2]string{
	"tls":        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefghijklmnopqrstuvwxyz012345 ", "\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03abcdefghij"},
	"ssh":        {"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"},
	"http":       {"GET /index.html HTTP/1.1\r\nHost: example.com\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
	"http2":      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00"},
	"postgresql": {"\x00\x00\x00\x17\x00\x03\x00\x00user\x00alice\x00\x00", "R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"},
	"mysql":      {"\x20\x00\x00\x01\x85\xa6\xff\x01\x00\x00\x00\x01\x21", "\x4a\x00\x00\x00\x0a5.5.5-10.11.4-MariaDB\x00\x08\x00\x00\x00"},
	"redis":      {"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", "$5\r\nvalue\r\n"},
	"redis ping": {"PING\r\n", "+PONG\r\n"},
	"memcached":  {"get key\r\n", "VALUE key 0 5\r\nvalue\r\nEND\r\n"},
	"mongodb":    {"\x3f\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x2a\x00\x00\x00\x10hello\x00\x01", "\x3f\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\xdd\x07\x00\x00"},
	"cassandra":  {"\x04\x00\x00\x00\x01\x00\x00\x00\x16\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0", "\x84\x00\x00\x00\x02\x00\x00\x00\x00"},
	"kafka":      {"\x00\x00\x00\x1a\x00\x12\x00\x03\x00\x00\x00\x01\x00\x07console\x00\x01\x01\x01\x01", "\x00\x00\x00\x20\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"},
	"amqp":       {"AMQP\x00\x00\x09\x01", "\x01\x00\x00\x00\x00\x00\x05\x00\x0a\x00\x0a\x00\xce"},
	"amqp 1.0":   {"AMQP\x00\x01\x00\x00", "AMQP\x00\x01\x00\x00"},
	"nats":       {"CONNECT {\"verbose\":false}\r\nPING\r\n", "INFO {\"server_id\":\"NABC\",\"version\":\"2.9.10\"} \r\n"},
	"mqtt":       {"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a", "\x20\x02\x00\x00"},
	"fastcgi":    {"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x04\x00\x01", "\x01\x06\x00\x01\x00\x05\x03\x00hello"},
	"ldap":       {"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00", "\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"},
	"text":       {"INFO about this file\nPUB is a place to drink\n", "MSG of the day: 0 of 0 messages\r\n"},
	"smtp":       {"EHLO example.com\r\n", "220 mail.example.com ESMTP\r\n"},
}

// Rejects checks that a detector accepts the beginning of its own protocol, on both ends,
// in the direction the client sends in, and none of any other's, also not of connections
// that are older; and that it rejects the others when it has seen both directions.
func Rejects(t *testing.T, p protocol.Protocol, own string) {
	evidence := func(role exchange.Role, mid bool, client, server string) *protocol.Evidence {
		e := &protocol.Evidence{Role: role, MidStream: mid}
		c := protocol.Received
		if role == exchange.RoleClient {
			c = protocol.Sent
		}
		e.Bytes[c], e.Bytes[c.Other()] = []byte(client), []byte(server)
		return e
	}
	for name, b := range others {
		for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
			for _, swapped := range []bool{false, true} {
				client, server := b[0], b[1]
				if swapped {
					client, server = server, client
				}
				if name == own {
					if !swapped {
						verdict, dir := p.Detect(evidence(role, false, client, server))
						require.Equal(t, protocol.Accepted, verdict, "%v %v", name, role)
						require.Equal(t, role == exchange.RoleClient, dir == protocol.Sent)
					}
					continue
				}
				verdict, _ := p.Detect(evidence(role, false, client, server))
				require.Equal(t, protocol.Rejected, verdict, "%v %v swapped %v", name, role, swapped)
				for _, one := range [][2]string{{client, server}, {client, ""}, {"", server}} {
					for _, mid := range []bool{false, true} {
						verdict, _ := p.Detect(evidence(role, mid, one[0], one[1]))
						require.NotEqual(t, protocol.Accepted, verdict, "%v %v swapped %v mid %v", name, role, swapped, mid)
					}
				}
			}
		}
	}
	r := rand.New(rand.NewPCG(7, 7))
	for range 200_000 {
		b := make([]byte, 1+r.IntN(64))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		at := r.IntN(len(b))
		for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
			verdict, _ := p.Detect(evidence(role, true, string(b[:at]), string(b[at:])))
			require.NotEqual(t, protocol.Accepted, verdict, "%q %q", b[:at], b[at:])
		}
	}
}
