// SPDX-License-Identifier: Apache-2.0

package nats

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/brokertest"
)

const header = "NATS/1.0\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"

func pub(subject, reply, payload string) string {
	if reply != "" {
		subject += " " + reply
	}
	return fmt.Sprintf("PUB %s %d\r\n%s\r\n", subject, len(payload), payload)
}

func hpub(subject, header, payload string) string {
	return fmt.Sprintf("HPUB %s %d %d\r\n%s%s\r\n", subject, len(header), len(header)+len(payload), header, payload)
}

func msg(subject, sid, reply, payload string) string {
	if reply != "" {
		sid += " " + reply
	}
	return fmt.Sprintf("MSG %s %s %d\r\n%s\r\n", subject, sid, len(payload), payload)
}

func hmsg(subject, sid, reply, header, payload string) string {
	if reply != "" {
		sid += " " + reply
	}
	return fmt.Sprintf("HMSG %s %s %d %d\r\n%s%s\r\n", subject, sid, len(header), len(header)+len(payload), header, payload)
}

func opening(options string) brokertest.Conversation {
	return brokertest.Conversation{}.B("INFO {\"server_id\":\"NABC\",\"max_payload\":1048576} \r\n").
		C("CONNECT {" + options + "}\r\nPING\r\n").B("PONG\r\n")
}

func run(t *testing.T, c brokertest.Conversation) []string {
	t.Helper()
	h := brokertest.New(New(Options{}), exchange.RoleClient)
	h.Run(c)
	require.NoError(t, h.Err)
	require.Zero(t, h.Stats.Invalid+h.Stats.Resyncs)
	return h.Close(t, exchange.FailureClosed)
}

func TestPublishAndDeliver(t *testing.T) {
	c := opening("").C("SUB orders.* workers 1\r\n" + pub("orders.new", "", "hello") + hpub("orders.old", header, "x")).
		B(msg("orders.new", "1", "", "hello") + hmsg("orders.old", "1", "", header, "x")).B("PING\r\n").C("PONG\r\n").C(pub("empty", "", ""))
	require.Equal(t, []string{
		"connect", "deliver orders.new (receive) n=1 body=5 group=workers", "deliver orders.old (receive) n=1 body=1 group=workers link=b7ad6b7169203331",
		"publish empty (send) n=1 body=0", "publish orders.new (send) n=1 body=5", "publish orders.old (send) n=1 body=1 link=b7ad6b7169203331",
	}, run(t, c))
}

func TestRequests(t *testing.T) {
	c := opening("").C("SUB _INBOX.a.* 1\r\n").
		C(pub("svc.one", "_INBOX.a.1", "x") + pub("svc.two", "_INBOX.a.2", "x") + pub("svc.none", "_INBOX.a.3", "x") + pub("svc.dead", "_INBOX.a.4", "x")).
		B(msg("_INBOX.a.2", "1", "", "reply")).B(msg("_INBOX.a.1", "1", "", "reply") + hmsg("_INBOX.a.3", "1", "", "NATS/1.0 503\r\n\r\n", ""))
	require.Equal(t, []string{
		"connect", "publish svc.dead (send) n=1 body=1", "request svc.none (send) n=1 body=1 error=503",
		"request svc.one (send) n=1 body=1", "request svc.two (send) n=1 body=1",
	}, run(t, c))
}

func TestResponder(t *testing.T) {
	c := opening("").C("SUB svc q 1\r\n").
		B(msg("svc", "1", "_INBOX.b.1", "x") + msg("svc", "1", "_INBOX.b.2", "xy") + msg("svc", "1", "_INBOX.b.3", "xyz")).
		C(pub("_INBOX.b.2", "", "r")).C(pub("_INBOX.b.1", "", "r"))
	require.Equal(t, []string{
		"connect", "deliver svc (process) n=1 body=1 group=q", "deliver svc (process) n=1 body=2 group=q", "deliver svc (receive) n=1 body=3 group=q",
	}, run(t, c))
}

func TestJetStream(t *testing.T) {
	ack := "$JS.ACK.orders.shipping.1.1.1.1600000000000000000.0"
	c := opening("").C("SUB _INBOX.a.* 1\r\nSUB _INBOX.p 2\r\n").
		C(pub("$JS.API.STREAM.INFO.orders", "_INBOX.a.1", "")).B(msg("_INBOX.a.1", "1", "", `{"type":"io.nats"}`)).
		C(pub("orders.new", "_INBOX.a.2", "x")).B(msg("_INBOX.a.2", "1", "", `{"stream":"orders","seq":1}`)).
		C(pub("orders.bad", "_INBOX.a.3", "x")).B(msg("_INBOX.a.3", "1", "", `{"error":{"code":503,"description":"x"}}`)).
		C(pub("$JS.API.CONSUMER.MSG.NEXT.orders.shipping", "_INBOX.p", `{"batch":1}`)).
		B(msg("orders.new", "2", ack, "hello")).C(pub(ack, "", "+WPI")).C(pub(ack, "", "+ACK")).
		C(pub("$JS.API.CONSUMER.MSG.NEXT.orders.shipping", "_INBOX.p", `{"batch":1}`)).
		B(hmsg("_INBOX.p", "2", "", "NATS/1.0 408 Request Timeout\r\n\r\n", "")).
		B(msg("orders.new", "2", strings.Replace(ack, ".1.1.1.", ".2.1.1.", 1), "again")).C(pub(strings.Replace(ack, ".1.1.1.", ".2.1.1.", 1), "", "-NAK"))
	require.Equal(t, []string{
		"STREAM.INFO orders body=0", "connect", "deliver orders.new (process) n=1 body=5 error=nak subscription=shipping",
		"deliver orders.new (process) n=1 body=5 subscription=shipping", "fetch orders (receive) n=0 body=11 subscription=shipping",
		"fetch orders (receive) n=0 body=11 subscription=shipping", "publish orders.bad (send) n=1 body=1 error=503", "publish orders.new (send) n=1 body=1",
	}, run(t, c))
}

func TestErrors(t *testing.T) {
	c := opening("")[:2].B("-ERR 'Authorization Violation'\r\n")
	require.Equal(t, []string{"connect error=Authorization Violation"}, run(t, c))
	c = opening("").C(pub("secret", "", "x")).B("-ERR 'Permissions Violation for Publish to \"secret\"'\r\n")
	require.Equal(t, []string{"connect", "error secret error=Permissions Violation for Publish", "publish secret (send) n=1 body=1"}, run(t, c))
	require.Equal(t, []string{"connect failure=closed"}, run(t, opening("")[:2]))
}

func TestVerbose(t *testing.T) {
	c := opening(`"verbose":true`)
	c[2].Data = "+OK\r\nPONG\r\n"
	c = c.C("SUB a 1\r\n" + pub("a", "", "x") + pub("b", "", "x")).B("+OK\r\n+OK\r\n").B(msg("a", "1", "", "x") + "-ERR 'Permissions Violation for Publish to \"b\"'\r\n")
	require.Equal(t, []string{
		"connect", "deliver a (receive) n=1 body=1", "publish a (send) n=1 body=1", "publish b (send) n=1 body=1 error=Permissions Violation for Publish",
	}, run(t, c))
}

func TestReplyBeforeTheRequestWasReported(t *testing.T) {
	h := brokertest.New(New(Options{}), exchange.RoleClient)
	h.Run(opening("").C("SUB _INBOX.a.* 1\r\n"))
	h.Now += 100
	h.Segment(protocol.Segment{Dir: protocol.Received, Data: []byte(msg("_INBOX.a.1", "1", "", "r")), Time: h.Now, First: h.Now})
	h.Segment(protocol.Segment{Dir: protocol.Sent, Data: []byte(pub("svc", "_INBOX.a.1", "x")), Time: h.Now + 5, First: h.Now - 5})
	require.Equal(t, []string{"connect", "request svc (send) n=1 body=1"}, h.Close(t, exchange.FailureClosed))
	require.Zero(t, h.Stats.Unmatched)
}

func everything() brokertest.Conversation {
	c := opening("").C("SUB _INBOX.a.* 1\r\nSUB work.> q 2\r\n")
	for i := range 20 {
		c = c.C(pub(fmt.Sprint("p", i), "", strings.Repeat("x", i*20)) + hpub(fmt.Sprint("h", i), header, "y")).
			C(pub(fmt.Sprint("r", i), fmt.Sprint("_INBOX.a.", i), "z")).
			B(msg(fmt.Sprint("work.", i), "2", fmt.Sprint("_INBOX.z.", i), strings.Repeat("x", i*30)) + msg(fmt.Sprint("work.n", i), "2", "", "x"))
		if i%2 == 0 {
			c = c.B(hmsg(fmt.Sprint("_INBOX.a.", i), "1", "", "NATS/1.0 503\r\n\r\n", ""))
		} else {
			c = c.B(msg(fmt.Sprint("_INBOX.a.", i), "1", "", "reply"))
		}
		c = c.C(pub(fmt.Sprint("_INBOX.z.", i), "", "done")).B("PING\r\n").C("PONG\r\n")
	}
	return c
}

func TestSegmentations(t *testing.T) {
	brokertest.Segmentations(t, New(Options{}), everything(), func(s string) bool {
		var n int
		// What was not seen to be answered was published, or delivered; headers and
		// subscriptions may not have been seen.
		if _, err := fmt.Sscanf(s, "request r%d (send)", &n); err == nil {
			return !strings.Contains(s, "error")
		}
		return strings.HasPrefix(s, "publish r") || strings.HasPrefix(s, "publish h") || strings.HasPrefix(s, "deliver work.") ||
			strings.HasPrefix(s, "publish (temporary)")
	})
}

func TestOldConnection(t *testing.T) {
	h := brokertest.New(New(Options{}), exchange.RoleClient)
	h.Run(brokertest.Conversation{}.C("the end of something\r\n").C(pub("a", "", "x")).C(pub("svc", "_INBOX.q.1", "x")).B("more\r\n").B(msg("b", "1", "", "x")).B(msg("_INBOX.q.1", "2", "", "x")).
		C(pub("svc2", "_INBOX.q.2", "x")).B(msg("_INBOX.q.2", "2", "", "x")))
	require.Equal(t, []string{"deliver b (receive) n=1 body=1", "publish a (send) n=1 body=1", "request svc2 (send) n=1 body=1"}, h.Close(t, exchange.FailureEOF))
}

func TestDetect(t *testing.T) {
	p := New(Options{})
	brokertest.Rejects(t, p, "nats")
	for _, b := range []string{pub("a", "", "x"), hpub("a", header, "hello"), pub("a.b", "_INBOX.x", "")} {
		v, d := p.Detect(&protocol.Evidence{Role: exchange.RoleServer, MidStream: true, Bytes: [2][]byte{protocol.Received: []byte(b)}})
		require.Equal(t, protocol.Accepted, v)
		require.Equal(t, protocol.Received, d)
	}
}

func TestContains(t *testing.T) {
	for pattern, subjects := range map[string][2]string{
		"a.*": {"a.b", "a.b.c"}, "a.>": {"a.b.c", "a"}, "a.*.c": {"a.b.c", "a..c"}, "a": {"a", "b"}, ">": {"x.y", ""},
	} {
		require.True(t, contains(pattern, []byte(subjects[0])), pattern)
		require.False(t, contains(pattern, []byte(subjects[1])), pattern)
	}
}

func messages(h *brokertest.Harness) func() {
	h.Run(opening("").C("SUB _INBOX.a.* 1\r\nSUB work.> q 2\r\n"))
	sent := []byte(hpub("orders.new", header, "hello") + pub("svc", "_INBOX.a.1", "x"))
	got := []byte(msg("_INBOX.a.1", "1", "", "reply") + msg("work.a", "2", "", "hello"))
	return func() {
		h.Now += 10
		h.Segment(protocol.Segment{Dir: h.Dir(true), Data: sent})
		h.Segment(protocol.Segment{Dir: h.Dir(false), Data: got})
	}
}

func TestAllocations(t *testing.T) {
	for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
		h := brokertest.New(New(Options{}), role)
		h.Quiet()
		loop := messages(h)
		for range 100 {
			loop()
		}
		require.Zero(t, testing.AllocsPerRun(1000, loop))
		require.Zero(t, h.Stats.Unmatched+h.Stats.Invalid+h.Stats.Resyncs)
	}
}

// Four messages per iteration.
func BenchmarkMessages(b *testing.B) {
	h := brokertest.New(New(Options{}), exchange.RoleClient)
	h.Quiet()
	loop := messages(h)
	b.ReportAllocs()
	for b.Loop() {
		loop()
	}
}
