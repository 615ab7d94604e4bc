// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/paho"
	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// mqttClient speaks 3.1.1: all qualities of service, in flight 1, 2, 16 and 100.
func mqttClient(address string) {
	dial := func(id string) mqtt.Client {
		o := mqtt.NewClientOptions().AddBroker("tcp://" + address).SetClientID(id).SetProtocolVersion(4).SetOrderMatters(true).SetAutoReconnect(false)
		o.SetMessageChannelDepth(1000)
		c := mqtt.NewClient(o)
		done(c.Connect())
		return c
	}
	old := dial("old")
	var oldMessages sync.WaitGroup
	done(old.Subscribe("old/#", 1, func(_ mqtt.Client, m mqtt.Message) {
		oldMessages.Done()
	}))
	wait()
	for i := range 60 {
		topic := fmt.Sprintf("old/%d", i)
		oldMessages.Add(1)
		start := now()
		done(old.Publish(topic, 1, false, text(i)))
		emit(record{Case: "old connection", Name: "publish " + topic, Start: start, End: now()})
		emit(record{Case: "old connection", Name: "deliver " + topic, Start: start})
		oldMessages.Wait()
	}

	c, d := dial("publisher"), dial("subscriber")
	emit(record{Case: "methods", Name: "connect", Attributes: map[string]string{"messaging.client.id": "publisher"}})
	emit(record{Case: "methods", Name: "connect", Attributes: map[string]string{"messaging.client.id": "subscriber"}})
	var consumed sync.WaitGroup
	start := now()
	done(d.Subscribe("t/#", 2, func(_ mqtt.Client, m mqtt.Message) {
		r := record{Case: "deliver", Name: "deliver " + m.Topic(), Attributes: map[string]string{
			"ebpf.mqtt.qos": fmt.Sprint(m.Qos()), "messaging.client.id": "subscriber", "messaging.message.body.size": fmt.Sprint(len(m.Payload()))}}
		if m.Qos() > 0 && len(m.Payload())%7 == 0 {
			r.Least = int64(time.Millisecond)
			time.Sleep(time.Millisecond)
		}
		emit(r)
		consumed.Done()
	}))
	emit(record{Case: "methods", Name: "subscribe t/#", Start: start, End: now()})
	for qos := range byte(3) {
		for _, width := range []int{1, 2, 16, 100} {
			n := 100
			consumed.Add(n)
			inFlight(n, width, func(i int) {
				topic := fmt.Sprintf("t/%d/%d/%d", qos, width, i)
				body := text(i)
				if width == 2 && i%50 == 3 {
					body = make([]byte, 1<<20)
				}
				start := now()
				done(c.Publish(topic, qos, false, body))
				r := record{Case: fmt.Sprintf("qos %d, %d", qos, width), Name: "publish " + topic, Start: start, End: now(), Attributes: map[string]string{
					"ebpf.mqtt.qos": fmt.Sprint(qos), "messaging.client.id": "publisher", "messaging.message.body.size": fmt.Sprint(len(body)),
					"messaging.system": "mqtt", "messaging.operation.type": "send"}}
				if qos == 0 {
					r.End = 0 // nobody says when it was sent
				}
				emit(r)
			})
			consumed.Wait()
		}
	}
	start = now()
	done(d.Unsubscribe("t/#"))
	emit(record{Case: "methods", Name: "unsubscribe t/#", Start: start, End: now()})
	time.Sleep(20 * time.Millisecond) // acknowledgements have to be on their way before the end
	c.Disconnect(50)
	d.Disconnect(50)
}

func done(t mqtt.Token) {
	t.Wait()
	check(t.Error())
}

// mqtt5Client speaks 5.0: user properties, topic aliases, reason codes.
func mqtt5Client(address string) {
	wait()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var consumed sync.WaitGroup
	dial := func(id string) *paho.Client {
		conn, err := net.Dial("tcp", address)
		check(err)
		c := paho.NewClient(paho.ClientConfig{Conn: conn, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
			func(r paho.PublishReceived) (bool, error) {
				emit(record{Case: "deliver 5", Name: "deliver " + r.Packet.Topic, Attributes: map[string]string{"messaging.client.id": id}})
				consumed.Done()
				return true, nil
			},
		}})
		start := now()
		ack, err := c.Connect(ctx, &paho.Connect{ClientID: id, KeepAlive: 30, CleanStart: true})
		check(err)
		if ack.ReasonCode != 0 {
			panic(ack.ReasonCode)
		}
		emit(record{Case: "methods", Name: "connect", Start: start, End: now()})
		return c
	}
	c, d := dial("five-c"), dial("five-d")
	start := now()
	_, err := d.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "five/#", QoS: 1}}})
	check(err)
	emit(record{Case: "methods", Name: "subscribe five/#", Start: start, End: now()})
	for _, width := range []int{1, 16, 100} {
		consumed.Add(100)
		inFlight(100, width, func(i int) {
			topic := fmt.Sprintf("five/%d/%d", width, i)
			p := &paho.Publish{Topic: topic, QoS: byte(i % 2), Payload: text(i), Properties: &paho.PublishProperties{}}
			p.Properties.User.Add("traceparent", traceparent)
			start := now()
			_, err := c.Publish(ctx, p)
			check(err)
			r := record{Case: fmt.Sprintf("publish 5, %d", width), Name: "publish " + topic, Start: start, Attributes: map[string]string{"messaging.message.body.size": fmt.Sprint(len(p.Payload))}}
			if p.QoS > 0 {
				r.End = now()
			}
			emit(r)
		})
		consumed.Wait()
	}
	// Aliases: the topic is sent once.
	alias := uint16(3)
	consumed.Add(20)
	for i := range 20 {
		p := &paho.Publish{Topic: "five/alias", QoS: 1, Payload: text(i), Properties: &paho.PublishProperties{TopicAlias: &alias}}
		if i > 0 {
			p.Topic = ""
		}
		start := now()
		_, err := c.Publish(ctx, p)
		check(err)
		emit(record{Case: "aliases", Name: "publish five/alias", Start: start, End: now()})
	}
	consumed.Wait()
	// A topic the broker's access list does not have.
	start = now()
	_, err = c.Publish(ctx, &paho.Publish{Topic: "secret/x", QoS: 1, Payload: []byte("x")})
	emit(record{Case: "errors", Name: "publish secret/x", Start: start, End: now(), Error: "not_authorized"})
	_ = err
	time.Sleep(20 * time.Millisecond)
	check(c.Disconnect(&paho.Disconnect{}))
	check(d.Disconnect(&paho.Disconnect{}))
}
