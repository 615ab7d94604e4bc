// SPDX-License-Identifier: Apache-2.0

package amqp

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/brokertest"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func frame(kind byte, channel int, payload string) string {
	b := []byte{kind}
	b = binary.BigEndian.AppendUint16(b, uint16(channel))
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return string(append(append(b, payload...), frameEnd))
}

func short(n int) string    { return string(binary.BigEndian.AppendUint16(nil, uint16(n))) }
func long(n int) string     { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }
func longlong(n int) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n))) }
func str(s string) string   { return string(byte(len(s))) + s }

// call is a method frame; arguments are concatenated.
func call(channel int, m method, arguments ...string) string {
	return frame(frameMethod, channel, long(int(m))+strings.Join(arguments, ""))
}

// body is a content's header and bodies, cut at size.
func body(channel int, text string, size int, headers string, message string) string {
	flags := 1 << 12
	properties := "\x02"
	if headers != "" {
		flags |= 1 << 13
		properties = long(len(headers)) + headers + properties
	}
	if message != "" {
		flags |= 1 << 7
		properties += str(message)
	}
	b := frame(frameHeader, channel, short(60)+short(0)+longlong(len(text))+short(flags)+properties)
	for len(text) > 0 {
		n := min(size, len(text))
		b += frame(frameBody, channel, text[:n])
		text = text[n:]
	}
	return b
}

func publishing(channel int, name, key, text, headers string) string {
	return call(channel, basicPublish, short(0), str(name), str(key), "\x00") + body(channel, text, 100, headers, "")
}

func delivery(channel int, consumerTag string, tag int, name, key, text string) string {
	return call(channel, basicDeliver, str(consumerTag), longlong(tag), "\x00", str(name), str(key)) + body(channel, text, 100, "", "")
}

func tableOf(key, value string) string { return str(key) + "S" + long(len(value)) + value }

// opening is a connection with one channel.
func opening(channels ...int) brokertest.Conversation {
	c := brokertest.Conversation{}.C(greeting).
		B(call(0, connectionStart, "\x00\x09", long(0), long(5), "PLAIN", long(5), "en_US")).
		C(call(0, connectionStartOk, long(0), str("PLAIN"), long(3), "\x00a\x00", str("en_US"))).
		B(call(0, connectionTune, short(2047), long(131072), short(60))).
		C(call(0, connectionTuneOk, short(2047), long(131072), short(60)) + call(0, connectionOpen, str("/"), "\x00\x00")).
		B(call(0, connectionOpenOk, "\x00"))
	for _, n := range channels {
		c = c.C(call(n, channelOpen, "\x00")).B(call(n, channelOpenOk, long(0)))
	}
	return c
}

func run(t *testing.T, c brokertest.Conversation) []string {
	t.Helper()
	h := brokertest.New(New(Options{}), exchange.RoleClient)
	h.Run(c)
	require.NoError(t, h.Err)
	return h.Close(t, exchange.FailureClosed)
}

func TestOpeningAndMethods(t *testing.T) {
	c := opening(1).
		C(call(1, queueDeclare, short(0), str("orders"), "\x02", long(0))).
		B(call(1, queueDeclareOk, str("orders"), long(0), long(0))).
		C(call(1, exchangeDeclare, short(0), str("shop"), str("topic"), "\x00", long(0))).
		B(call(1, exchangeDeclare+1)).
		C(call(1, queueBind, short(0), str("orders"), str("shop"), str("k"), "\x00", long(0))).
		B(call(1, queueBind+1)).
		C(call(1, queueDeclare, short(0), str(""), "\x04", long(0))).
		B(call(1, queueDeclareOk, str("amq.gen-abc"), long(0), long(0))).
		C(call(1, channelClose, short(200), str("bye"), long(0))).
		B(call(1, channelCloseOk)).
		C(call(0, connectionClose, short(200), str("bye"), long(0))).
		B(call(0, connectionCloseOk))
	require.Equal(t, []string{
		"channel.close", "channel.open", "connect", "connection.close", "exchange.declare shop", "queue.bind orders",
		"queue.declare (anonymous)", "queue.declare orders",
	}, run(t, c))
}

func TestPublishWithoutConfirms(t *testing.T) {
	c := opening(1).C(publishing(1, "shop", "new", "hello", tableOf("x", "y")+tableOf("traceparent", parent)) + publishing(1, "", "orders", "", "") + publishing(1, "", "", "x", ""))
	require.Equal(t, []string{
		"channel.open", "connect", "publish amq.default (send) n=1 body=1", "publish orders (send) n=1 body=0",
		"publish shop:new (send) n=1 body=5 link=b7ad6b7169203331",
	}, run(t, c))
}

func TestConfirms(t *testing.T) {
	c := opening(1, 2).C(call(1, confirmSelect, "\x00")).B(call(1, confirmSelect+1))
	for i := range 6 {
		c = c.C(publishing(1, "", fmt.Sprint("q", i+1), "x", ""))
	}
	c = c.C(publishing(2, "", "other", "x", "")).
		B(call(1, basicNack, longlong(2), "\x00")).
		B(call(1, basicAck, longlong(1), "\x00") + call(1, basicAck, longlong(4), "\x01")).
		B(call(1, basicNack, longlong(6), "\x01"))
	require.Equal(t, []string{
		"channel.open", "channel.open", "confirm.select", "connect", "publish other (send) n=1 body=1",
		"publish q1 (send) n=1 body=1", "publish q2 (send) n=1 body=1 error=nack", "publish q3 (send) n=1 body=1",
		"publish q4 (send) n=1 body=1", "publish q5 (send) n=1 body=1 error=nack", "publish q6 (send) n=1 body=1 error=nack",
	}, run(t, c))
}

func TestReturned(t *testing.T) {
	mandatory := func(key string) string {
		return call(1, basicPublish, short(0), str("ex"), str(key), "\x01") + body(1, "x", 100, "", "")
	}
	back := func(key string) string {
		return call(1, basicReturn, short(312), str("NO_ROUTE"), str("ex"), str(key)) + body(1, "x", 100, "", "")
	}
	c := opening(1).C(mandatory("a")).B(back("a")).
		C(call(1, confirmSelect, "\x00")).B(call(1, confirmSelect+1)).
		C(mandatory("b") + mandatory("c") + mandatory("d")).B(back("c") + call(1, basicAck, longlong(3), "\x01"))
	require.Equal(t, []string{
		"channel.open", "confirm.select", "connect", "publish ex:a (send) n=1 body=1", "publish ex:b (send) n=1 body=1",
		"publish ex:c (send) n=1 body=1 error=NO_ROUTE", "publish ex:d (send) n=1 body=1", "return ex:a body=1 error=NO_ROUTE",
	}, run(t, c))
}

func consuming(noAck string) brokertest.Conversation {
	return opening(1).
		C(call(1, basicConsume, short(0), str("orders"), str(""), noAck, long(0))).
		B(call(1, basicConsumeOk, str("ctag-1")))
}

func TestDeliveries(t *testing.T) {
	c := consuming("\x00")
	for i := range 5 {
		c = c.B(delivery(1, "ctag-1", i+1, "shop", fmt.Sprint("k", i+1), "hello"))
	}
	c = c.C(call(1, basicAck, longlong(1), "\x00")).
		C(call(1, basicReject, longlong(3), "\x01") + call(1, basicNack, longlong(2), "\x00\x00")).
		C(call(1, basicAck, longlong(5), "\x01"))
	require.Equal(t, []string{
		"basic.consume orders", "channel.open", "connect", "deliver shop:k1:orders (process) n=1 body=5",
		"deliver shop:k2:orders (process) n=1 body=5 error=nack", "deliver shop:k3:orders (process) n=1 body=5 error=reject",
		"deliver shop:k4:orders (process) n=1 body=5", "deliver shop:k5:orders (process) n=1 body=5",
	}, run(t, c))
}

func TestDeliveriesWithoutAcknowledgement(t *testing.T) {
	c := consuming("\x02").B(delivery(1, "ctag-1", 1, "", "orders", "hello") + delivery(1, "ctag-1", 2, "shop", "k", ""))
	require.Equal(t, []string{
		"basic.consume orders", "channel.open", "connect", "deliver orders (receive) n=1 body=5", "deliver shop:k:orders (receive) n=1 body=0",
	}, run(t, c))
}

func TestUnsettledIsNotReportedAfterAnOrderlyEnd(t *testing.T) {
	c := consuming("\x00").B(delivery(1, "ctag-1", 1, "", "orders", "x")).
		C(call(1, channelClose, short(200), str(""), long(0))).B(call(1, channelCloseOk))
	require.Equal(t, []string{"basic.consume orders", "channel.close", "channel.open", "connect"}, run(t, c))
	c = consuming("\x00").B(delivery(1, "ctag-1", 1, "", "orders", "x"))
	require.Contains(t, run(t, c), "deliver orders (process) n=1 body=1 failure=closed")
}

func TestGet(t *testing.T) {
	ok := call(1, basicGetOk, longlong(1), "\x00", str("shop"), str("k"), long(0)) + body(1, "hello", 100, "", "m-1")
	c := opening(1).
		C(call(1, basicGet, short(0), str("orders"), "\x00")).B(ok).
		C(call(1, basicGet, short(0), str("orders"), "\x01")).B(call(1, basicGetEmpty, str(""))).
		C(call(1, basicAck, longlong(1), "\x00"))
	require.Equal(t, []string{
		"ack shop:k:orders (settle) n=1", "channel.open", "connect", "get orders (receive) n=0",
		"get shop:k:orders (receive) n=1 body=5 message=m-1",
	}, run(t, c))
}

func TestErrors(t *testing.T) {
	notFound := call(1, channelClose, short(404), str("NOT_FOUND"), long(int(queueDeclare)))
	c := opening(1).C(call(1, queueDeclare, short(0), str("orders"), "\x01", long(0))).B(notFound).C(call(1, channelCloseOk))
	require.Equal(t, []string{"channel.open", "connect", "queue.declare orders error=NOT_FOUND"}, run(t, c))

	c = opening(1).C(publishing(1, "none", "k", "x", "")).B(call(1, channelClose, short(404), str("NOT_FOUND"), long(int(basicPublish)))).C(call(1, channelCloseOk))
	require.Equal(t, []string{"channel.close error=NOT_FOUND", "channel.open", "connect", "publish none:k (send) n=1 body=1"}, run(t, c))

	c = opening(1).C(call(1, confirmSelect, "\x00")).B(call(1, confirmSelect+1)).C(publishing(1, "none", "k", "x", "")).
		B(call(1, channelClose, short(404), str("NOT_FOUND"), long(int(basicPublish)))).C(call(1, channelCloseOk))
	require.Contains(t, run(t, c), "publish none:k (send) n=1 body=1 error=NOT_FOUND")

	c = opening()[:3].B(call(0, connectionClose, short(403), str("ACCESS_REFUSED"), long(0)))
	require.Equal(t, []string{"connect error=ACCESS_REFUSED"}, run(t, c))
	require.Equal(t, []string{"connect failure=closed"}, run(t, opening()[:3]))
}

func TestConfirmBeforeThePublishWasReported(t *testing.T) {
	h := brokertest.New(New(Options{}), exchange.RoleClient)
	h.Run(opening(1).C(call(1, confirmSelect, "\x00")).B(call(1, confirmSelect+1)))
	h.Now += 100
	h.Segment(protocol.Segment{Dir: protocol.Received, Data: []byte(call(1, basicNack, longlong(1), "\x00")), Time: h.Now, First: h.Now})
	h.Segment(protocol.Segment{Dir: protocol.Sent, Data: []byte(publishing(1, "", "q", "x", "")), Time: h.Now + 5, First: h.Now - 5})
	require.Contains(t, h.Close(t, exchange.FailureClosed), "publish q (send) n=1 body=1 error=nack")
	require.Zero(t, h.Stats.Unmatched)
}

// Large messages are cut into frames of which only the first is seen.
func TestLargeBodies(t *testing.T) {
	for _, size := range []int{1000, 5000, 12345} {
		for _, copied := range []int{300, 700, 1500} {
			text := strings.Repeat("x", size)
			message := call(1, basicPublish, short(0), str(""), str("big"), "\x00") + body(1, text, 1000, "", "")
			h := brokertest.New(New(Options{}), exchange.RoleClient)
			c := opening(1)
			c[4].Data = call(0, connectionTuneOk, short(2047), long(1008), short(60)) + call(0, connectionOpen, str("/"), "\x00\x00")
			h.Run(c)
			for range 3 {
				h.Segment(protocol.Segment{Dir: protocol.Sent, Data: []byte(message[:min(copied, len(message))]), Len: len(message), Tail: []byte(message[max(min(copied, len(message)), len(message)-8):])})
			}
			h.Run(brokertest.Conversation{}.C(publishing(1, "", "small", "x", "")))
			got := h.Close(t, exchange.FailureClosed)
			big := fmt.Sprintf("publish big (send) n=1 body=%d", size)
			require.Equal(t, []string{"channel.open", "connect", big, big, big, "publish small (send) n=1 body=1"}, got)
			require.Zero(t, h.Stats.Resyncs)
		}
	}
}

// everything is a conversation of all kinds of exchanges, that can be told apart.
func everything() brokertest.Conversation {
	c := opening(1, 2).C(call(1, confirmSelect, "\x00")).B(call(1, confirmSelect+1)).
		C(call(2, basicConsume, short(0), str("orders"), str("tag"), "\x00", long(0))).B(call(2, basicConsumeOk, str("tag")))
	for i := range 20 {
		c = c.C(publishing(1, "shop", fmt.Sprint("a", i), strings.Repeat("x", i*20), tableOf("traceparent", parent))).
			C(publishing(1, "shop", fmt.Sprint("b", i), "y", ""))
		ack := basicAck
		if i%4 == 0 {
			ack = basicNack
		}
		c = c.B(call(1, ack, longlong(2*i+2), "\x01")).
			B(delivery(2, "tag", 2*i+1, "shop", fmt.Sprint("c", i), strings.Repeat("z", i*30)) + frame(frameHeartbeat, 0, "")).
			B(delivery(2, "tag", 2*i+2, "shop", fmt.Sprint("d", i), "z"))
		if i%3 == 0 {
			c = c.C(call(2, basicNack, longlong(2*i+2), "\x00")).C(call(2, basicAck, longlong(2*i+1), "\x00"))
		} else {
			c = c.C(call(2, basicAck, longlong(2*i+2), "\x01"))
		}
	}
	return c
}

func TestSegmentations(t *testing.T) {
	brokertest.Segmentations(t, New(Options{}), everything(), func(s string) bool {
		// Where the beginning was lost, confirms and queues are not known, and where a
		// header was, contexts are not. An error has to be the right one's.
		var n int
		if _, err := fmt.Sscanf(s, "publish shop:a%d (send)", &n); err != nil {
			_, _ = fmt.Sscanf(s, "publish shop:b%d (send)", &n)
		}
		if strings.HasPrefix(s, "publish shop:") {
			return !strings.Contains(s, "error") || n%4 == 0
		}
		_, err := fmt.Sscanf(s, "deliver shop:d%d (", &n)
		return strings.HasPrefix(s, "deliver shop:") && !strings.Contains(s, ":orders ") && (!strings.Contains(s, "error") || err == nil && n%3 == 0)
	})
}

func TestOldConnection(t *testing.T) {
	h := brokertest.New(New(Options{}), exchange.RoleClient)
	h.Now = 5e9
	h.Run(brokertest.Conversation{}.
		C("tail of a message" + "\xce" + publishing(1, "", "a", "x", "")).B(call(1, basicAck, longlong(70), "\x00")).
		C(publishing(1, "", "b", "x", "")).B(call(1, basicAck, longlong(71), "\x00")))
	h.Now += 2e9
	h.Run(brokertest.Conversation{}.C(publishing(1, "", "c", "x", "") + publishing(1, "", "d", "x", "")).B(call(1, basicNack, longlong(73), "\x00")).B(call(1, basicAck, longlong(72), "\x00")).
		B(delivery(2, "t", 5, "", "e", "x")).C(call(2, basicAck, longlong(5), "\x00")).B(delivery(2, "t", 6, "", "f", "x")))
	require.Equal(t, []string{
		"deliver e (process) n=1 body=1", "deliver f (receive) n=1 body=1", "publish a (send) n=1 body=1", "publish b (send) n=1 body=1",
		"publish c (send) n=1 body=1", "publish d (send) n=1 body=1 error=nack",
	}, h.Close(t, exchange.FailureEOF))
}

func TestDetect(t *testing.T) {
	p := New(Options{})
	brokertest.Rejects(t, p, "amqp")
	for _, b := range []string{publishing(1, "", "a", "x", ""), frame(frameHeartbeat, 0, ""), call(1, basicAck, longlong(1), "\x00")} {
		v, d := p.Detect(&protocol.Evidence{Role: exchange.RoleServer, MidStream: true, Bytes: [2][]byte{protocol.Received: []byte(b)}})
		require.Equal(t, protocol.Accepted, v)
		require.Equal(t, protocol.Received, d)
	}
}

func TestMismatch(t *testing.T) {
	h := brokertest.New(New(Options{}), exchange.RoleClient)
	h.Run(opening(1))
	for i := range 1000 {
		h.Run(brokertest.Conversation{}.C(call(1, basicQos, long(0), short(i), "\x00")[:5] + "garbage that is none").C(call(1, basicAck, longlong(1), "\x00")))
	}
	require.Empty(t, h.Close(t, exchange.FailureNone)[2:])
}

func TestNamesAreThoseOfTheConventions(t *testing.T) {
	require.Equal(t, string(semconv.MessagingRabbitMQDestinationRoutingKeyKey), attrRoutingKey)
	require.Equal(t, string(semconv.MessagingRabbitMQMessageDeliveryTagKey), attrDeliveryTag)
	require.Equal(t, string(semconv.MessagingMessageConversationIDKey), attrConversation)
	require.Equal(t, semconv.MessagingSystemRabbitMQ.Value.AsString(), "rabbitmq")
}

func TestAllocations(t *testing.T) {
	c := opening(1).C(call(1, confirmSelect, "\x00")).B(call(1, confirmSelect+1)).
		C(call(1, basicConsume, short(0), str("orders"), str("tag"), "\x00", long(0))).B(call(1, basicConsumeOk, str("tag")))
	for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
		h := brokertest.New(New(Options{}), role)
		h.Quiet()
		h.Run(c)
		loop := messages(h)
		for range 100 {
			loop()
		}
		require.Zero(t, testing.AllocsPerRun(1000, loop))
		require.Zero(t, h.Stats.Unmatched+h.Stats.Invalid+h.Stats.Resyncs)
	}
}

// messages returns a function that publishes, confirms, delivers and acknowledges one.
func messages(h *brokertest.Harness) func() {
	sent := []byte(publishing(1, "shop", "new", "hello", tableOf("traceparent", parent)))
	confirm := []byte(call(1, basicAck, longlong(1), "\x00"))
	deliver := []byte(delivery(1, "tag", 1, "shop", "new", "hello"))
	ack := []byte(call(1, basicAck, longlong(1), "\x00"))
	n := uint64(0)
	return func() {
		n++
		binary.BigEndian.PutUint64(confirm[headSize+4:], n)
		binary.BigEndian.PutUint64(ack[headSize+4:], n)
		binary.BigEndian.PutUint64(deliver[headSize+4+4:], n)
		h.Now += 10
		h.Segment(protocol.Segment{Dir: h.Dir(true), Data: sent})
		h.Segment(protocol.Segment{Dir: h.Dir(false), Data: confirm})
		h.Segment(protocol.Segment{Dir: h.Dir(false), Data: deliver})
		h.Segment(protocol.Segment{Dir: h.Dir(true), Data: ack})
	}
}

// Four messages of the protocol per iteration.
func BenchmarkMessages(b *testing.B) {
	h := brokertest.New(New(Options{}), exchange.RoleClient)
	h.Quiet()
	h.Run(opening(1).C(call(1, confirmSelect, "\x00")).B(call(1, confirmSelect+1)).
		C(call(1, basicConsume, short(0), str("orders"), str("tag"), "\x00", long(0))).B(call(1, basicConsumeOk, str("tag"))))
	loop := messages(h)
	b.ReportAllocs()
	for b.Loop() {
		loop()
	}
}
