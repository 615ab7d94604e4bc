// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

const received, sent = protocol.Received, protocol.Sent

func TestDetect(t *testing.T) {
	p := New(Options{})
	evidence := func(role exchange.Role, old bool, in, out string) *protocol.Evidence {
		return &protocol.Evidence{Role: role, MidStream: old, Bytes: [2][]byte{received: []byte(in), sent: []byte(out)}}
	}
	greeting := greetingPacket(mariadb, baseCapabilities)
	for _, c := range []struct {
		name string
		e    *protocol.Evidence
		v    protocol.Verdict
		d    protocol.Direction
	}{
		{"server", evidence(exchange.RoleServer, false, "", greeting), protocol.Accepted, received},
		{"client", evidence(exchange.RoleClient, false, greeting, ""), protocol.Accepted, sent},
		{"no role", evidence(exchange.RoleUnknown, false, greeting, ""), protocol.Accepted, sent},
		{"the other way round", evidence(exchange.RoleServer, false, greeting, ""), protocol.Rejected, received},
		{"a part", evidence(exchange.RoleClient, false, greeting[:12], ""), protocol.Undecided, sent},
		{"nothing", evidence(exchange.RoleClient, false, "", ""), protocol.Undecided, sent},
		{"the client begins", evidence(exchange.RoleServer, false, query("SELECT 1"), ""), protocol.Rejected, received},
		{"old", evidence(exchange.RoleServer, true, query("/* x */ select 1"), ""), protocol.Accepted, received},
		{"old, cut", evidence(exchange.RoleServer, true, query("INSERT INTO t VALUES ('" + string(make([]byte, 2000)) + "')")[:1000], ""), protocol.Accepted, received},
		{"old, execution", evidence(exchange.RoleServer, true, execute(7), ""), protocol.Accepted, received},
		{"old, several", evidence(exchange.RoleServer, true, query("BEGIN")+query("COMMIT"), ""), protocol.Accepted, received},
		{"old, results", evidence(exchange.RoleServer, true, "", result(true, "a")), protocol.Accepted, received},
		{"old, ping", evidence(exchange.RoleServer, true, packet(0, "\x0e"), ""), protocol.Undecided, received},
	} {
		v, d := p.Detect(c.e)
		require.Equal(t, c.v, v, c.name)
		if v == protocol.Accepted {
			require.Equal(t, c.d, d, c.name)
		}
	}
}

// others are what other protocols begin with.
var others = map[string]string{
	"http":              "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"http status":       "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	"http2":             "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00d\x00\x04@\x00\x00\x00\x00\x02\x00\x00\x00\x00",
	"http2 settings":    "\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00d",
	"postgresql":        "\x00\x00\x00\x29\x00\x03\x00\x00user\x00postgres\x00database\x00shop\x00\x00",
	"postgresql server": "R\x00\x00\x00\x08\x00\x00\x00\x00S\x00\x00\x00\x16application_name\x00\x00",
	"postgresql query":  "Q\x00\x00\x00\x0dSELECT 1\x00",
	"redis":             "*2\r\n$3\r\nGET\r\n$1\r\na\r\n",
	"redis answer":      "$3\r\nabc\r\n",
	"memcached":         "get a\r\n",
	"memcached binary":  "\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00a",
	"mongodb":           "\x37\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x22\x00\x00\x00\x10hello\x00\x01\x00\x00\x00\x02$db\x00\x06\x00\x00\x00admin\x00\x00",
	"cassandra":         "\x04\x00\x00\x00\x01\x00\x00\x00\x16\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0",
	"cassandra answer":  "\x84\x00\x00\x00\x02\x00\x00\x00\x00",
	"kafka":             "\x00\x00\x00\x15\x00\x12\x00\x03\x00\x00\x00\x01\x00\x07console\x00\x01a\x01b\x00",
	"kafka answer":      "\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00",
	"amqp":              "AMQP\x00\x00\x09\x01",
	"amqp server":       "\x01\x00\x00\x00\x00\x00\x1a\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US\xce",
	"nats":              "INFO {\"server_id\":\"a\"}\r\n",
	"nats client":       "CONNECT {}\r\nPING\r\n",
	"mqtt":              "\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04abcd",
	"mqtt answer":       "\x20\x02\x00\x00",
	"fastcgi":           "\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00",
	"tls":               "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
	"tls server":        "\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03",
	"tls data":          "\x17\x03\x03\x00\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	"ssh":               "SSH-2.0-OpenSSH_9.2\r\n",
	"smtp":              "220 mail.example.com ESMTP\r\n",
	"ftp":               "220 (vsFTPd 3.0.3)\r\n",
}

func TestRejectsOthers(t *testing.T) {
	p := New(Options{})
	for name, b := range others {
		for role := exchange.RoleUnknown; role <= exchange.RoleClient; role++ {
			for _, dir := range []protocol.Direction{received, sent} {
				for n := 1; n <= len(b); n++ {
					e := &protocol.Evidence{Role: role}
					e.Bytes[dir] = []byte(b[:n])
					v, _ := p.Detect(e)
					require.NotEqual(t, protocol.Accepted, v, name)
					if n == len(b) && role != exchange.RoleUnknown && n >= 8 {
						require.Equal(t, protocol.Rejected, v, "%s %v %v", name, role, dir)
					}
					e.MidStream = true
					v, _ = p.Detect(e)
					require.NotEqual(t, protocol.Accepted, v, name)
				}
			}
		}
	}
	b := make([]byte, 300)
	for range 20000 {
		_, _ = rand.Read(b)
		for _, dir := range []protocol.Direction{received, sent} {
			for _, old := range []bool{false, true} {
				e := &protocol.Evidence{Role: exchange.RoleServer, MidStream: old}
				e.Bytes[dir] = b
				v, _ := p.Detect(e)
				require.NotEqual(t, protocol.Accepted, v)
			}
		}
	}
}
