// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	rabbit "github.com/rabbitmq/amqp091-go"
)

// amqp publishes with and without confirms, in flight 1, 2, 16 and 100, what is refused,
// returned and large; consumes with and without acknowledgement; and does what fails.
func amqp(address string) {
	url := "amqp://guest:guest@" + address + "/"
	ctx := context.Background()
	dial := func() *rabbit.Connection {
		c, err := rabbit.Dial(url)
		check(err)
		return c
	}
	old := dial()
	oldChannel, err := old.Channel()
	check(err)
	check(oldChannel.ExchangeDeclare("ex", "topic", false, true, false, false, nil))
	check(oldChannel.Confirm(false))
	oldConsumer, err := old.Channel()
	check(err)
	_, err = oldConsumer.QueueDeclare("old-q", false, true, false, false, nil)
	check(err)
	check(oldConsumer.QueueBind("old-q", "old.*", "ex", false, nil))
	oldMessages, err := oldConsumer.Consume("old-q", "", false, false, false, false, nil)
	check(err)
	wait()

	connection := dial()
	emit(record{Case: "methods", Name: "connect"})
	channel := func() *rabbit.Channel {
		c, err := connection.Channel()
		check(err)
		emit(record{Case: "methods", Name: "channel.open"})
		return c
	}

	publish := func(c *rabbit.Channel, name, key string, mandatory bool, body []byte) *rabbit.DeferredConfirmation {
		d, err := c.PublishWithDeferredConfirmWithContext(ctx, name, key, mandatory, false,
			rabbit.Publishing{Body: body, MessageId: key, Headers: rabbit.Table{"n": int32(1), "traceparent": traceparent}})
		check(err)
		return d
	}

	// Before the collector.
	// One at a time: what RabbitMQ sends behind a large message in one call is not seen.
	delivered := make(chan struct{}, 1)
	go func() {
		for m := range oldMessages {
			check(m.Ack(false))
			delivered <- struct{}{}
		}
	}()
	for i := range 50 {
		key := fmt.Sprintf("old.%d", i)
		start := now()
		publish(oldChannel, "ex", key, false, text(i)).Wait()
		emit(record{Case: "old connection", Name: "publish ex:" + key, Start: start, End: now()})
		emit(record{Case: "old connection", Name: "deliver ex:" + key, Start: start})
		<-delivered
	}
	// After a second of silence confirms are known.
	time.Sleep(1100 * time.Millisecond)
	for i := range 50 {
		key := fmt.Sprintf("old.quiet%d", i)
		start := now()
		publish(oldChannel, "ex", key, false, text(i)).Wait()
		emit(record{Case: "old connection", Name: "publish ex:" + key, Start: start, End: now(), Attributes: map[string]string{"confirmed": "yes"}})
		emit(record{Case: "old connection", Name: "deliver ex:" + key, Start: start})
		<-delivered
	}

	// Without confirms.
	plain := channel()
	for i := range 200 {
		key := fmt.Sprintf("plain.%d", i)
		start := now()
		publish(plain, "ex", key, false, short(i))
		emit(record{Case: "publish", Name: "publish ex:" + key, Start: start, Attributes: map[string]string{
			"messaging.rabbitmq.destination.routing_key": key, "messaging.system": "rabbitmq", "messaging.operation.type": "send",
			"messaging.message.id": key, "messaging.message.body.size": fmt.Sprint(len(short(i))),
		}})
	}

	// With confirms, several at once on one channel, and consumers that take their time.
	for _, width := range []int{1, 2, 16, 100} {
		name := fmt.Sprintf("confirm %d", width)
		queue := fmt.Sprintf("q%d", width)
		setup := channel()
		_, err := setup.QueueDeclare(queue, false, true, false, false, nil)
		check(err)
		emit(record{Case: "methods", Name: "queue.declare " + queue})
		check(setup.QueueBind(queue, fmt.Sprintf("c%d.*", width), "ex", false, nil))
		emit(record{Case: "methods", Name: "queue.bind " + queue})
		check(setup.Qos(width, 0, false))
		emit(record{Case: "methods", Name: "basic.qos"})
		messages, err := setup.Consume(queue, "", false, false, false, false, nil)
		check(err)
		emit(record{Case: "methods", Name: "basic.consume " + queue})
		n := 200
		var consumed sync.WaitGroup
		consumed.Add(n)
		go func() {
			i := 0
			for m := range messages {
				i++
				go func() {
					least := time.Duration(i%3) * time.Millisecond
					time.Sleep(least)
					r := record{Case: fmt.Sprintf("deliver %d", width), Name: fmt.Sprintf("deliver ex:%s:%s", m.RoutingKey, queue), Least: int64(least), OneWay: true,
						Attributes: map[string]string{"messaging.rabbitmq.message.delivery_tag": fmt.Sprint(m.DeliveryTag), "messaging.operation.type": "process"}}
					if i%5 == 0 {
						r.Error = "nack"
						check(m.Nack(false, false))
					} else {
						check(m.Ack(false))
					}
					r.End = now()
					emit(r)
					consumed.Done()
				}()
			}
		}()
		c := channel()
		check(c.Confirm(false))
		emit(record{Case: "methods", Name: "confirm.select"})
		inFlight(n, width, func(i int) {
			key := fmt.Sprintf("c%d.%d", width, i)
			start := now()
			if !publish(c, "ex", key, false, short(i)).Wait() {
				panic("nack")
			}
			emit(record{Case: name, Name: "publish ex:" + key, Start: start, End: now()})
		})
		consumed.Wait()
	}

	// Refused: the queue holds one message and refuses more.
	full := channel()
	_, err = full.QueueDeclare("full", false, true, false, false, rabbit.Table{"x-max-length": int32(1), "x-overflow": "reject-publish"})
	check(err)
	emit(record{Case: "methods", Name: "queue.declare full"})
	check(full.QueueBind("full", "full.*", "ex", false, nil))
	emit(record{Case: "methods", Name: "queue.bind full"})
	check(full.Confirm(false))
	emit(record{Case: "methods", Name: "confirm.select"})
	inFlight(100, 16, func(i int) {
		key := fmt.Sprintf("full.%d", i)
		start := now()
		r := record{Case: "refused", Name: "publish ex:" + key}
		if !publish(full, "ex", key, false, []byte("x")).Wait() {
			r.Error = "nack"
		}
		r.Start, r.End = start, now()
		emit(r)
	})

	// Returned: nothing is bound to half of the keys.
	returned := channel()
	check(returned.Confirm(false))
	emit(record{Case: "methods", Name: "confirm.select"})
	go func() {
		for range returned.NotifyReturn(make(chan rabbit.Return, 1000)) {
		}
	}()
	inFlight(100, 16, func(i int) {
		key, why := fmt.Sprintf("nowhere.%d", i), "NO_ROUTE"
		if i%2 == 0 {
			key, why = fmt.Sprintf("full.r%d", i), "nack"
		}
		start := now()
		publish(returned, "ex", key, true, []byte("x")).Wait()
		emit(record{Case: "returned", Name: "publish ex:" + key, Start: start, End: now(), Error: why})
	})

	// Pulled.
	pull := channel()
	_, err = pull.QueueDeclare("pulled", false, true, false, false, nil)
	check(err)
	emit(record{Case: "methods", Name: "queue.declare pulled"})
	check(pull.QueueBind("pulled", "g.*", "ex", false, nil))
	emit(record{Case: "methods", Name: "queue.bind pulled"})
	for i := range 50 {
		key := fmt.Sprintf("g.%d", i)
		start := now()
		publish(pull, "ex", key, false, short(i))
		emit(record{Case: "get", Name: "publish ex:" + key, Start: start})
		for {
			start := now()
			m, ok, err := pull.Get("pulled", false)
			check(err)
			if ok {
				emit(record{Case: "get", Name: fmt.Sprintf("get ex:%s:pulled", key), Start: start, End: now(), Attributes: map[string]string{"messaging.operation.type": "receive"}})
				check(m.Ack(false))
				emit(record{Case: "get", Name: fmt.Sprintf("ack ex:%s:pulled", key), Start: start})
				break
			}
			emit(record{Case: "get", Name: "get pulled", Start: start, End: now()})
		}
	}

	// Without acknowledgement, one of them of a megabyte.
	auto := channel()
	_, err = auto.QueueDeclare("auto", false, true, false, false, nil)
	check(err)
	emit(record{Case: "methods", Name: "queue.declare auto"})
	messages, err := auto.Consume("auto", "tag", true, false, false, false, nil)
	check(err)
	emit(record{Case: "methods", Name: "basic.consume auto"})
	for i := range 20 {
		size := 10
		if i%4 == 0 {
			size = 1 << 20
		}
		start := now()
		publish(auto, "", "auto", false, make([]byte, size))
		<-messages
		for _, what := range []string{"publish", "deliver"} {
			emit(record{Case: "1 MB", Name: what + " auto", Start: start, Attributes: map[string]string{"messaging.message.body.size": fmt.Sprint(size)}})
		}
	}

	// Errors close channels.
	broken := channel()
	start := now()
	_, err = broken.QueueDeclarePassive("no such queue", false, false, false, false, nil)
	if err == nil {
		panic("no error")
	}
	emit(record{Case: "errors", Name: "queue.declare no such queue", Start: start, End: now(), Error: "NOT_FOUND"})
	broken = channel()
	check(broken.Confirm(false))
	emit(record{Case: "methods", Name: "confirm.select"})
	start = now()
	publish(broken, "no such exchange", "k", false, []byte("x")).Wait()
	emit(record{Case: "errors", Name: "publish no such exchange:k", Start: start, Error: "NOT_FOUND"})
	start = now()
	if _, err := rabbit.Dial("amqp://guest:wrong@" + address + "/"); err == nil {
		panic("no error")
	}
	emit(record{Case: "errors", Name: "connect", Start: start, End: now(), Error: "eof|connection_reset"}) // RabbitMQ hangs up: the library does not ask for a reason
	time.Sleep(20 * time.Millisecond)                                                                      // acknowledgements have to be on their way before the end
	check(connection.Close())
	emit(record{Case: "methods", Name: "connection.close"})
	check(old.Close())
	emit(record{Case: "methods", Name: "connection.close"})
}
