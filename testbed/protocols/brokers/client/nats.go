// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsClient publishes, requests in flight 1, 2, 16 and 100, consumes from JetStream, and
// does what fails.
func natsClient(address string) {
	dial := func(options ...nats.Option) *nats.Conn {
		c, err := nats.Connect("nats://"+address, options...)
		check(err)
		return c
	}
	old, oldSubscriber := dial(), dial()
	oldMessages := make(chan *nats.Msg, 1000)
	_, err := oldSubscriber.ChanSubscribe("old.*", oldMessages)
	check(err)
	check(oldSubscriber.Flush())
	_, err = oldSubscriber.Subscribe("oldsvc.*", func(m *nats.Msg) { check(m.Respond([]byte("r"))) })
	check(err)
	check(oldSubscriber.Flush())
	wait()

	for i := range 100 {
		subject := fmt.Sprintf("old.%d", i)
		start := now()
		check(old.Publish(subject, text(i)))
		check(old.Flush())
		<-oldMessages
		emit(record{Case: "old connection", Name: "publish " + subject, Start: start})
		emit(record{Case: "old connection", Name: "deliver " + subject, Start: start})
	}
	for i := range 50 {
		subject := fmt.Sprintf("oldsvc.%d", i)
		start := now()
		_, err := old.Request(subject, []byte("q"), time.Second)
		check(err)
		emit(record{Case: "old connection", Name: "request " + subject, Start: start, End: now()})
		emit(record{Case: "old connection", Name: "deliver " + subject, Start: start, End: now()})
	}

	c, d := dial(), dial()
	emit(record{Case: "methods", Name: "connect"})
	emit(record{Case: "methods", Name: "connect"})

	// Publishing and delivering, headers, large ones.
	messages := make(chan *nats.Msg, 1000)
	subscription, err := d.ChanQueueSubscribe("p.*", "workers", messages)
	check(err)
	check(d.Flush())
	for i := range 300 {
		subject := fmt.Sprintf("p.%d", i)
		body := text(i)
		if i == 50 || i == 51 {
			body = make([]byte, 1<<20-1000)
		}
		m := &nats.Msg{Subject: subject, Data: body}
		if i%2 == 0 {
			m.Header = nats.Header{"traceparent": {traceparent}, "Other": {"x"}}
		}
		start := now()
		check(c.PublishMsg(m))
		// What is sent in one call with more than 64 KiB in front of it is not seen.
		if len(body) > 50_000 || len(text(i+1)) > 50_000 || i == 49 {
			check(c.Flush())
			check(d.Flush())
			time.Sleep(10 * time.Millisecond)
		}
		emit(record{Case: "publish", Name: "publish " + subject, Start: start, Attributes: map[string]string{
			"messaging.message.body.size": fmt.Sprint(len(body)), "messaging.system": "nats", "messaging.operation.type": "send"}})
		emit(record{Case: "publish", Name: "deliver " + subject, Start: start, Attributes: map[string]string{
			"messaging.message.body.size": fmt.Sprint(len(body)), "messaging.consumer.group.name": "workers", "messaging.operation.type": "receive"}})
	}
	check(c.Flush())
	for range 300 {
		<-messages
	}
	check(subscription.Unsubscribe())

	// Requests.
	_, err = d.Subscribe("svc.>", func(m *nats.Msg) {
		go func() {
			least := time.Duration(len(m.Data)%3) * time.Millisecond
			time.Sleep(least)
			check(m.Respond([]byte("reply")))
			emit(record{Case: "respond", Name: "deliver " + m.Subject, Least: int64(least), Attributes: map[string]string{"messaging.operation.type": "process"}})
		}()
	})
	check(err)
	check(d.Flush())
	for _, width := range []int{1, 2, 16, 100} {
		inFlight(200, width, func(i int) {
			subject := fmt.Sprintf("svc.%d.%d", width, i)
			body := short(i)
			start := now()
			_, err := c.Request(subject, body, 5*time.Second)
			check(err)
			emit(record{Case: fmt.Sprintf("request %d", width), Name: "request " + subject, Start: start, End: now(),
				Least: int64(len(body)%3) * int64(time.Millisecond)})
		})
	}
	for i := range 10 {
		subject := fmt.Sprintf("nobody.%d", i)
		start := now()
		if _, err := c.Request(subject, []byte("x"), time.Second); err == nil {
			panic("no error")
		}
		emit(record{Case: "errors", Name: "request " + subject, Start: start, End: now(), Error: "503"})
	}

	// JetStream.
	js, err := jetstream.New(c)
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	start := now()
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "orders", Subjects: []string{"orders.*"}, Storage: jetstream.MemoryStorage})
	check(err)
	emit(record{Case: "jetstream", Name: "STREAM.CREATE orders", Start: start, End: now()})
	for _, width := range []int{1, 16} {
		inFlight(100, width, func(i int) {
			subject := fmt.Sprintf("orders.%d-%d", width, i)
			start := now()
			_, err := js.Publish(ctx, subject, short(i))
			check(err)
			emit(record{Case: "jetstream", Name: "publish " + subject, Start: start, End: now()})
		})
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "shipping", AckPolicy: jetstream.AckExplicitPolicy})
	check(err)
	for got := 0; got < 200; {
		batch, err := consumer.Fetch(20, jetstream.FetchMaxWait(time.Second))
		check(err)
		for m := range batch.Messages() {
			least := time.Duration(got%2) * time.Millisecond
			time.Sleep(least)
			r := record{Case: "jetstream", Name: "deliver " + m.Subject(), Least: int64(least), Attributes: map[string]string{
				"messaging.destination.subscription.name": "shipping", "messaging.operation.type": "process"}}
			if got%10 == 9 {
				r.Error = "term"
				check(m.Term())
			} else {
				check(m.Ack())
			}
			emit(r)
			got++
		}
	}
	var last sync.WaitGroup
	last.Add(1)
	go func() { check(c.FlushTimeout(time.Second)); last.Done() }()
	last.Wait()
	check(d.Flush())
	start = now()
	if _, err := nats.Connect("nats://"+address, nats.UserInfo("nobody", "wrong")); err == nil {
		// The server asks nobody for a password.
		emit(record{Case: "methods", Name: "connect", Start: start, End: now()})
	}
}
