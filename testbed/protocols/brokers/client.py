# SPDX-License-Identifier: Apache-2.0
"""Talks to a broker with Python's client libraries, and writes down what it did: see
client/main.go."""

import asyncio
import json
import os
import sys
import threading
import time

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
records = []


def emit(case, name, start=0, end=0, **more):
    records.append(json.dumps({"case": case, "name": name, "start": start, "end": end, **more}))


def wait():
    print("ready", flush=True)
    sys.stdin.readline()


def text(i):
    return bytes({7: 100_000, 13: 9_000}.get(i % 20, 10 + i))


def short(i):
    return bytes(9_000 if i % 50 == 13 else 10 + i)


def amqp(address):
    import pika

    host, port = address.split(":")
    parameters = pika.ConnectionParameters(host, int(port))
    old = pika.BlockingConnection(parameters)
    old_channel = old.channel()
    old_channel.queue_declare("pyold")
    wait()
    for i in range(30):
        start = time.time_ns()
        old_channel.basic_publish("", "pyold", short(i))
        emit("old connection", "publish pyold", start)
    connection = pika.BlockingConnection(parameters)
    emit("methods", "connect")
    channel = connection.channel()
    emit("methods", "channel.open")
    channel.exchange_declare("pyex", "topic")
    emit("methods", "exchange.declare pyex")
    channel.queue_declare("py")
    emit("methods", "queue.declare py")
    channel.queue_bind("py", "pyex", "py.*")
    emit("methods", "queue.bind py")
    for i in range(50):
        start = time.time_ns()
        channel.basic_publish("pyex", f"py.plain{i}", short(i), pika.BasicProperties(headers={"traceparent": TRACEPARENT}))
        emit("publish", f"publish pyex:py.plain{i}", start, attributes={"messaging.message.body.size": str(len(short(i)))})
    channel.confirm_delivery()
    emit("methods", "confirm.select")
    for i in range(100):
        start = time.time_ns()
        body = bytes(1 << 20) if i == 50 else short(i)
        channel.basic_publish("pyex", f"py.c{i}", body, pika.BasicProperties(headers={"traceparent": TRACEPARENT}))
        emit("confirm 1", f"publish pyex:py.c{i}", start, time.time_ns(), attributes={"messaging.message.body.size": str(len(body))})
    for i in range(20):
        start = time.time_ns()
        try:
            channel.basic_publish("pyex", f"nowhere{i}", b"x", mandatory=True)
        except pika.exceptions.UnroutableError:
            emit("returned", f"publish pyex:nowhere{i}", start, time.time_ns(), error="NO_ROUTE")
    channel.basic_qos(prefetch_count=1)
    emit("methods", "basic.qos")
    n = 0
    for method, _, _ in channel.consume("py"):
        least = n % 3
        time.sleep(least / 1000)
        more = {"least": least * 1_000_000, "one_way": True}
        if n % 7 == 0:
            channel.basic_nack(method.delivery_tag, requeue=False)
            more["error"] = "nack"
        else:
            channel.basic_ack(method.delivery_tag)
        emit("deliver 1", f"deliver pyex:{method.routing_key}:py", 0, time.time_ns(), attributes={"messaging.rabbitmq.message.delivery_tag": str(method.delivery_tag)}, **more)
        n += 1
        if n == 150:
            break
    emit("methods", "basic.consume py")
    channel.cancel()
    emit("methods", "basic.cancel")
    start = time.time_ns()
    try:
        pika.BlockingConnection(pika.ConnectionParameters(host, int(port), credentials=pika.PlainCredentials("guest", "wrong")))
    except pika.exceptions.AMQPConnectionError:
        emit("errors", "connect", start, time.time_ns(), error="ACCESS_REFUSED")
    for i in range(20):
        start = time.time_ns()
        channel.basic_get("py")
        emit("get", "get py", start, time.time_ns())
    connection.close()
    emit("methods", "channel.close")
    emit("methods", "connection.close")
    old.close()
    emit("methods", "channel.close")
    emit("methods", "connection.close")


def nats(address):
    asyncio.run(nats_async(address))


async def nats_async(address):
    import nats as library

    old = await library.connect(f"nats://{address}")
    wait()
    for i in range(50):
        start = time.time_ns()
        await old.publish(f"py.old{i}", text(i))
        await old.flush()
        emit("old connection", f"publish py.old{i}", start, time.time_ns())
    c, d = await library.connect(f"nats://{address}"), await library.connect(f"nats://{address}")
    emit("methods", "connect")
    emit("methods", "connect")

    async def subscribe(subject, callback):
        await d.subscribe(subject, cb=callback)
        # The first PING overtakes the SUB, which waits for another task to write it.
        await d.flush()
        await d.flush()

    got = asyncio.Queue()

    async def receive(m):
        got.put_nowait(m)

    await subscribe("py.p.*", receive)
    for i in range(100):
        headers = {"traceparent": TRACEPARENT} if i % 2 else None
        body = bytes((1 << 20) - 100) if i == 50 else text(i)
        start = time.time_ns()
        await c.publish(f"py.p.{i}", body, headers=headers)
        # What is sent in one call with more than 64 KiB in front of it is not seen.
        if len(body) > 50_000 or len(text(i + 1)) > 50_000 or i == 49:
            await c.flush()
            await d.flush()
            await asyncio.sleep(0.01)
        emit("publish", f"publish py.p.{i}", start, attributes={"messaging.message.body.size": str(len(body))})
        emit("publish", f"deliver py.p.{i}", start, attributes={"messaging.message.body.size": str(len(body))})
    await c.flush()
    for _ in range(100):
        await got.get()

    async def answer(m):
        least = len(m.data) % 3

        async def later():
            await asyncio.sleep(least / 1000)
            await m.respond(b"reply")
            emit("respond", f"deliver {m.subject}", least=least * 1_000_000)

        asyncio.create_task(later())

    await subscribe("py.svc.>", answer)

    for width in 1, 16, 100:
        limit = asyncio.Semaphore(width)

        async def request(i):
            async with limit:
                body = short(i)
                start = time.time_ns()
                await c.request(f"py.svc.{width}.{i}", body, timeout=5)
                emit(f"request {width}", f"request py.svc.{width}.{i}", start, time.time_ns(), least=len(body) % 3 * 1_000_000)

        await asyncio.gather(*(request(i) for i in range(100)))
    for i in range(10):
        start = time.time_ns()
        try:
            await c.request(f"py.nobody.{i}", b"x", timeout=1)
        except library.errors.NoRespondersError:
            emit("errors", f"request py.nobody.{i}", start, time.time_ns(), error="503")
    js = c.jetstream()
    await js.add_stream(name="pystream", subjects=["pys.*"])
    for i in range(50):
        start = time.time_ns()
        await js.publish(f"pys.{i}", short(i))
        emit("jetstream", f"publish pys.{i}", start, time.time_ns())
    subscription = await js.pull_subscribe("pys.*", durable="pyc")
    n = 0
    while n < 50:
        for m in await subscription.fetch(10, timeout=1):
            await m.ack()
            emit("jetstream", f"deliver {m.subject}", attributes={"messaging.destination.subscription.name": "pyc"})
            n += 1
    await c.flush()
    await c.close()
    await d.close()
    await old.close()


def mqtt(address):
    import paho.mqtt.client as paho

    host, port = address.split(":")

    def dial(name, version):
        c = paho.Client(paho.CallbackAPIVersion.VERSION2, name, protocol=version)
        c.max_inflight_messages_set(100)
        up = threading.Event()
        c.on_connect = lambda *_: up.set()
        c.connect(host, int(port))
        c.loop_start()
        up.wait()
        return c

    old = dial("pyold", paho.MQTTv311)
    wait()
    for i in range(50):
        start = time.time_ns()
        old.publish(f"py/old/{i}", text(i), 1).wait_for_publish()
        emit("old connection", f"publish py/old/{i}", start, time.time_ns())
    for version in paho.MQTTv311, paho.MQTTv5:
        c, d = dial(f"pyc{version}", version), dial(f"pyd{version}", version)
        emit("methods", "connect")
        emit("methods", "connect")
        got = threading.Semaphore(0)
        properties = None
        if version == paho.MQTTv5:
            properties = paho.Properties(paho.PacketTypes.PUBLISH)
            properties.UserProperty = ("traceparent", TRACEPARENT)

        def message(_c, _u, m):
            emit(f"deliver {version}", f"deliver {m.topic}", 0, 0, attributes={"ebpf.mqtt.qos": str(m.qos), "messaging.message.body.size": str(len(m.payload))})
            got.release()

        d.on_message = message
        up = threading.Event()
        d.on_subscribe = lambda *_: up.set()
        start = time.time_ns()
        d.subscribe(f"py/{version}/#", 2)
        up.wait()
        emit("methods", f"subscribe py/{version}/#", start, time.time_ns())
        for qos in 0, 1, 2:
            for width in 1, 16, 100:
                n = 0
                while n < 100:
                    batch = []
                    for i in range(n, min(n + width, 100)):
                        topic = f"py/{version}/{qos}/{width}/{i}"
                        body = bytes(1 << 20) if width == 1 and i == 50 else text(i)
                        batch.append((topic, time.time_ns(), c.publish(topic, body, qos, properties=properties)))
                    for topic, start, token in batch:
                        token.wait_for_publish()
                        # Nobody says when the broker has read what it does not answer.
                        emit(f"qos {qos}, {width}", f"publish {topic}", start, time.time_ns() if qos else 0)
                    for _ in batch:
                        got.acquire()
                    n += len(batch)
        time.sleep(0.05)
        for x in c, d:
            x.disconnect()
            x.loop_stop()
    old.disconnect()
    old.loop_stop()


globals()[sys.argv[1]](sys.argv[2])
print("\n".join(records), flush=True)
os._exit(0)  # whatever threads the libraries have left
