// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/protocoltest"
)

func TestDetect(t *testing.T) {
	const received, sent = protocol.Received, protocol.Sent
	p := New(Options{})
	evidence := func(role exchange.Role, old bool, in, out string) *protocol.Evidence {
		return &protocol.Evidence{Role: role, MidStream: old, Bytes: [2][]byte{received: []byte(in), sent: []byte(out)}}
	}
	server, client := exchange.RoleServer, exchange.RoleClient
	for _, c := range []struct {
		name string
		e    *protocol.Evidence
		v    protocol.Verdict
		d    protocol.Direction
	}{
		{"server", evidence(server, false, startup(4), ""), protocol.Accepted, received},
		{"client", evidence(client, false, "", startup(5)), protocol.Accepted, sent},
		{"options", evidence(client, false, "", frame(3, 9, opOptions, "")), protocol.Accepted, sent},
		{"no role", evidence(exchange.RoleUnknown, false, startup(4), ""), protocol.Accepted, received},
		{"the other way round", evidence(server, false, "", startup(4)), protocol.Rejected, received},
		{"version 6", evidence(server, false, startup(6), ""), protocol.Rejected, received},
		{"a query first", evidence(server, false, query(4, 1, selectText), ""), protocol.Rejected, received},
		{"another startup", evidence(server, false, frame(4, 0, opStartup, be(1, 2)+str("a")+str("b")), ""), protocol.Rejected, received},
		{"nothing", evidence(client, false, "", ""), protocol.Undecided, sent},
		{"old, query", evidence(server, true, query(4, 1, selectText), ""), protocol.Accepted, received},
		{"old, execute", evidence(server, true, execute(4, 1, id16), ""), protocol.Accepted, received},
		{"old, batch", evidence(server, true, batch(4, 1, selectText), ""), protocol.Accepted, received},
		{"old, rows", evidence(server, true, "", rows(4, 1, 2)), protocol.Accepted, received},
		{"old, compressed", evidence(server, true, lz4Body(query(4, 1, selectText)), ""), protocol.Undecided, received},
		{"old, compressed, both", evidence(server, true, lz4Body(query(4, 1, selectText)), lz4Body(rows(4, 1, 2))), protocol.Accepted, received},
		{"old, envelope", evidence(client, true, "", seal(frame(5, 1, opOptions, ""), true)), protocol.Accepted, sent},
		{"old, error", evidence(client, true, failure(4, 1, 0x2200), ""), protocol.Undecided, sent},
	} {
		v, d := p.Detect(c.e)
		require.Equal(t, c.v, v, c.name)
		if v == protocol.Accepted {
			require.Equal(t, c.d, d, c.name)
		}
	}
}

func TestRejectsOthers(t *testing.T) {
	protocoltest.Rejects(t, New(Options{}), "cassandra")
}

// A beginning of what is accepted is not rejected.
func TestPrefixes(t *testing.T) {
	p := New(Options{})
	for _, b := range []string{startup(4), frame(4, 0, opOptions, "")} {
		for n := range b {
			e := &protocol.Evidence{Role: exchange.RoleServer}
			e.Bytes[protocol.Received] = []byte(b[:n])
			v, _ := p.Detect(e)
			require.NotEqual(t, protocol.Rejected, v, n)
		}
	}
}
