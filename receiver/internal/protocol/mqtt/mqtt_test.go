// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/brokertest"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func packet(first byte, body ...string) string {
	all := strings.Join(body, "")
	b := []byte{first}
	n := len(all)
	for {
		c := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			c |= 0x80
		}
		b = append(b, c)
		if n == 0 {
			return string(b) + all
		}
	}
}

func id(n int) string         { return string(binary.BigEndian.AppendUint16(nil, uint16(n))) }
func str(s string) string     { return id(len(s)) + s }
func user(k, v string) string { return "\x26" + str(k) + str(v) }

// props is a property list with its length.
func props(list ...string) string {
	all := strings.Join(list, "")
	return packet(0, all)[1:]
}

// message is a PUBLISH; v5 has properties.
func pub(qos byte, n int, topic, p, payload string) string {
	head := str(topic)
	if qos > 0 {
		head += id(n)
	}
	return packet(publish<<4|qos<<1, head, p, payload)
}

func opening(version byte) brokertest.Conversation {
	if version == 5 {
		return brokertest.Conversation{}.C(packet(connect<<4, str("MQTT"), "\x05\x02", id(60), props("\x21"+id(10)), str(""))).
			B(packet(connack<<4, "\x00\x00", props("\x12"+str("given"))))
	}
	return brokertest.Conversation{}.C(packet(connect<<4, str("MQTT"), "\x04\x06", id(60), str("me"), str("will/topic"), str("gone"))).B(packet(connack<<4, "\x00\x00"))
}

func run(t *testing.T, c brokertest.Conversation) []string {
	t.Helper()
	h := brokertest.New(New(Options{}), exchange.RoleClient)
	h.Run(c)
	require.NoError(t, h.Err)
	require.Zero(t, h.Stats.Invalid+h.Stats.Resyncs)
	return h.Close(t, exchange.FailureClosed)
}

func TestPublish(t *testing.T) {
	c := opening(4).C(pub(0, 0, "a/0", "", "hello") + pub(1, 1, "a/1", "", "hello") + pub(2, 2, "a/2", "", "hello") + pub(1, 3, "a/3", "", "")).
		B(packet(pubrec<<4, id(2)) + packet(puback<<4, id(3))).C(packet(pubrel<<4|2, id(2))).
		C(packet(publish<<4|8|2, str("a/1"), id(1), "hello")). // again
		B(packet(puback<<4, id(1)) + packet(pubcomp<<4, id(2))).C(packet(pingreq << 4)).B(packet(pingresp << 4)).
		C(pub(0, 0, "a/big", "", strings.Repeat("x", 20000))).C(packet(disconnect << 4))
	require.Equal(t, []string{
		"connect", "publish a/0 (send) n=1 body=5", "publish a/1 (send) n=1 body=5", "publish a/2 (send) n=1 body=5",
		"publish a/3 (send) n=1 body=0", "publish a/big (send) n=1 body=20000",
	}, run(t, c))
}

func TestDeliver(t *testing.T) {
	c := opening(4).C(packet(subscribe<<4|2, id(1), str("a/#"), "\x02")).B(packet(suback<<4, id(1), "\x02")).
		B(pub(0, 0, "a/0", "", "hello") + pub(1, 1, "a/1", "", "hello") + pub(2, 2, "a/2", "", "hello")).
		C(packet(pubrec<<4, id(2)) + packet(puback<<4, id(1))).B(packet(pubrel<<4|2, id(2))).C(packet(pubcomp<<4, id(2))).
		C(packet(unsubscribe<<4|2, id(2), str("a/#"))).B(packet(unsuback<<4, id(2)))
	require.Equal(t, []string{
		"connect", "deliver a/0 (receive) n=1 body=5", "deliver a/1 (process) n=1 body=5", "deliver a/2 (process) n=1 body=5",
		"subscribe a/#", "unsubscribe a/#",
	}, run(t, c))
}

func TestVersion5(t *testing.T) {
	c := opening(5).
		C(pub(1, 1, "a/1", props("\x23"+id(7), user("traceparent", parent)), "hello")).B(packet(puback<<4, id(1), "\x10", props())).
		C(pub(1, 2, "", props("\x23"+id(7)), "hello")).B(packet(puback<<4, id(2), "\x87", props("\x1f"+str("no")))).
		C(pub(2, 3, "a/3", props("\x01\x01", "\x02\x00\x00\x00\x09", "\x03"+str("text"), "\x08"+str("r"), "\x09"+str("c"), "\x0b\x05"), "x")).B(packet(pubrec<<4, id(3), "\x97")).
		C(packet(subscribe<<4|2, id(4), props(), str("x/#"), "\x02")).B(packet(suback<<4, id(4), props(), "\x87")).
		B(pub(0, 0, "d", props("\x23"+id(1), user("traceparent", parent)), "hello") + pub(0, 0, "", props("\x23"+id(1)), "x")).
		B(packet(disconnect<<4, "\x8b", props()))
	require.Equal(t, []string{
		"connect", "deliver d (receive) n=1 body=1", "deliver d (receive) n=1 body=5 link=b7ad6b7169203331", "disconnect error=server_shutting_down",
		"publish a/1 (send) n=1 body=5 error=not_authorized", "publish a/1 (send) n=1 body=5 link=b7ad6b7169203331",
		"publish a/3 (send) n=1 body=1 error=quota_exceeded", "subscribe x/# error=not_authorized",
	}, run(t, c))
}

// Of a message whose properties were not copied the body's size is known all the same; what
// its alias stood for before is not, since they may have changed it.
func TestPropertiesNotSeen(t *testing.T) {
	for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
		h := brokertest.New(New(Options{}), role)
		h.Run(opening(5).C(pub(0, 0, "one", props("\x23"+id(7)), "x")).C(pub(0, 0, "", props("\x23"+id(7)), "x")))
		whole := pub(0, 0, "two", props("\x23"+id(7), user("key", strings.Repeat("v", 40))), "hello")
		dir := protocol.Sent
		if role == exchange.RoleServer {
			dir = protocol.Received
		}
		h.Now += 10
		h.Segment(protocol.Segment{Dir: dir, Data: []byte(whole[:20]), Len: len(whole), Time: h.Now, First: h.Now})
		h.Run(brokertest.Conversation{}.C(pub(0, 0, "", props("\x23"+id(7)), "x")))
		require.Equal(t, []string{
			"connect", "publish (send) n=1 body=1", "publish one (send) n=1 body=1", "publish one (send) n=1 body=1", "publish two (send) n=1 body=5",
		}, h.Close(t, exchange.FailureNone))
	}
}

func TestRefused(t *testing.T) {
	c := opening(4)
	c[1].Data = packet(connack<<4, "\x00\x05")
	require.Equal(t, []string{"connect error=not_authorized"}, run(t, c))
	c = opening(5)
	c[1].Data = packet(connack<<4, "\x00\x86", props())
	require.Equal(t, []string{"connect error=bad_user_name_or_password"}, run(t, c))
	require.Equal(t, []string{"connect failure=closed"}, run(t, c[:1]))
	c = opening(4).C(packet(subscribe<<4|2, id(1), str("a"), "\x00")).B(packet(suback<<4, id(1), "\x80")).C(pub(1, 1, "a", "", "x"))
	require.Equal(t, []string{"connect", "publish a (send) n=1 body=1 failure=closed", "subscribe a error=unspecified_error"}, run(t, c))
}

func TestAcknowledgementBeforeThePublishWasReported(t *testing.T) {
	h := brokertest.New(New(Options{}), exchange.RoleClient)
	h.Run(opening(4))
	h.Now += 100
	h.Segment(protocol.Segment{Dir: protocol.Received, Data: []byte(packet(puback<<4, id(1))), Time: h.Now, First: h.Now})
	h.Segment(protocol.Segment{Dir: protocol.Sent, Data: []byte(pub(1, 1, "a", "", "x")), Time: h.Now + 5, First: h.Now - 5})
	require.Equal(t, []string{"connect", "publish a (send) n=1 body=1"}, h.Close(t, exchange.FailureClosed))
	require.Zero(t, h.Stats.Unmatched)
}

func everything() brokertest.Conversation {
	c := opening(5).C(packet(subscribe<<4|2, id(1), props(), str("d/#"), "\x02")).B(packet(suback<<4, id(1), props(), "\x02"))
	for i := range 20 {
		c = c.C(pub(1, 2*i+2, fmt.Sprint("p/a", i), props(user("traceparent", parent)), strings.Repeat("x", i*20)) + pub(0, 0, fmt.Sprint("p/b", i), props(), "y")).
			C(pub(2, 2*i+3, fmt.Sprint("p/c", i), props(), "z")).
			B(pub(1, i+1, fmt.Sprint("d/a", i), props(), strings.Repeat("x", i*30)) + pub(0, 0, fmt.Sprint("d/b", i), props(), "x"))
		code := "\x00"
		if i%2 == 0 {
			code = "\x87"
		}
		c = c.B(packet(puback<<4, id(2*i+2), code, props()) + packet(pubrec<<4, id(2*i+3))).C(packet(puback<<4, id(i+1))).C(packet(pubrel<<4|2, id(2*i+3))).B(packet(pubcomp<<4, id(2*i+3)))
	}
	return c
}

func TestSegmentations(t *testing.T) {
	brokertest.Segmentations(t, New(Options{}), everything(), func(s string) bool {
		// What the contexts are is not known of messages whose properties were not seen,
		// nor the size of the body if their length was not, or the connection's version.
		var n int
		if _, err := fmt.Sscanf(s, "publish p/a%d (send)", &n); err == nil {
			return n%2 == 0 == strings.Contains(s, "error=not_authorized") && (!strings.Contains(s, "body=") || strings.Contains(s+" ", fmt.Sprintf(" body=%d ", n*20)))
		}
		return (strings.HasPrefix(s, "publish p/") || strings.HasPrefix(s, "deliver d/")) && !strings.Contains(s, "body") && !strings.Contains(s, "error") ||
			s == "subscribe"
	})
}

func TestOldConnection(t *testing.T) {
	p := New(Options{})
	for _, c := range []brokertest.Conversation{
		brokertest.Conversation{}.C(pub(1, 9, "a", "", "x")).B(packet(puback<<4, id(9))),
		brokertest.Conversation{}.C(packet(pingreq << 4)).B(packet(pingresp << 4)),
		brokertest.Conversation{}.C(pub(0, 0, "a/b", "", "x") + pub(0, 0, "a/b", "", "x")),
		brokertest.Conversation{}.B(pub(1, 9, "a", "", "x")).C(packet(puback<<4, id(9))),
	} {
		e := &protocol.Evidence{Role: exchange.RoleServer, MidStream: true}
		for _, s := range c {
			d := protocol.Received
			if !s.Client {
				d = protocol.Sent
			}
			e.Bytes[d] = append(e.Bytes[d], s.Data...)
		}
		v, d := p.Detect(e)
		require.Equal(t, protocol.Accepted, v)
		require.Equal(t, protocol.Received, d)
	}
	h := brokertest.New(p, exchange.RoleClient)
	h.Run(brokertest.Conversation{}.C("the middle of something").C(pub(1, 9, "a", "", "x")).B(packet(puback<<4, id(9))).B("more").B(pub(0, 0, "b", "", "x")))
	require.Equal(t, []string{"deliver b (receive) n=1", "publish a (send) n=1"}, h.Close(t, exchange.FailureEOF))
}

func TestDetect(t *testing.T) {
	p := New(Options{})
	brokertest.Rejects(t, p, "mqtt")
	for _, level := range []byte{4, 5} {
		b := opening(level)[0].Data
		for n := range b {
			v, _ := p.Detect(&protocol.Evidence{Role: exchange.RoleServer, Bytes: [2][]byte{protocol.Received: []byte(b[:n+1])}})
			require.NotEqual(t, protocol.Rejected, v, "the first %d bytes", n+1)
		}
	}
}

func messages(h *brokertest.Harness) func() {
	h.Run(opening(5))
	sent := []byte(pub(1, 1, "a/topic", props(user("traceparent", parent)), "hello") + pub(0, 0, "b", props(), "x"))
	got := []byte(packet(puback<<4, id(1)) + pub(1, 1, "c", props(), "x"))
	ack := []byte(packet(puback<<4, id(1)))
	return func() {
		h.Now += 10
		h.Segment(protocol.Segment{Dir: h.Dir(true), Data: sent})
		h.Segment(protocol.Segment{Dir: h.Dir(false), Data: got})
		h.Segment(protocol.Segment{Dir: h.Dir(true), Data: ack})
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

// Five packets per iteration.
func BenchmarkMessages(b *testing.B) {
	h := brokertest.New(New(Options{}), exchange.RoleClient)
	h.Quiet()
	loop := messages(h)
	b.ReportAllocs()
	for b.Loop() {
		loop()
	}
}
