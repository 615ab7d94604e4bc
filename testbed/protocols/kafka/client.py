# SPDX-License-Identifier: Apache-2.0
"""client.py LIBRARY MODE BROKER TOPIC N CLIENT [GROUP [PROTOCOL]]: sends or reads messages with
confluent-kafka (librdkafka) or kafka-python, and prints what it did, as the Go client does."""

import json
import sys
import time

library, mode, broker, topic, n, client = sys.argv[1:7]
group = sys.argv[7] if len(sys.argv) > 7 else None
protocol = sys.argv[8] if len(sys.argv) > 8 else "classic"
n = int(n)
truth = {"Requests": {}, "Offsets": {}, "Errors": {}, "TraceIDs": []}


def moved(topic, partition, offset):
    p = truth["Offsets"].setdefault(topic, {}).setdefault(partition, {"First": offset, "End": offset, "Count": 0})
    p["First"] = min(p["First"], offset)
    p["End"] = max(p["End"], offset + 1)
    p["Count"] += 1


def failed(error):
    truth["Errors"][error] = truth["Errors"].get(error, 0) + 1


def confluent_produce():
    from confluent_kafka import Producer

    def delivered(error, message):
        if error:
            failed(error.name())
        else:
            moved(message.topic(), message.partition(), message.offset())

    producer = Producer({
        "bootstrap.servers": broker, "client.id": client, "linger.ms": 1, "batch.num.messages": 50,
        "max.in.flight.requests.per.connection": 16, "compression.type": "lz4", "message.max.bytes": 3000000,
        "message.timeout.ms": 4000,
    })
    for i in range(n):
        size = 2500000 if mode == "toolarge" else 10 + i % 300
        if mode == "toolarge":
            producer.produce(topic, b"\x00" * 100 + __import__("os").urandom(size), on_delivery=delivered)
        else:
            producer.produce(topic, b"v" * size, key=str(i), on_delivery=delivered)
        producer.poll(0)
    producer.flush(10)


def confluent_consume():
    from confluent_kafka import Consumer

    options = {
        "bootstrap.servers": broker, "client.id": client, "group.id": group or "none", "auto.offset.reset": "earliest",
        "enable.auto.commit": False, "fetch.wait.max.ms": 200, "group.protocol": protocol,
    }
    consumer = Consumer(options)
    consumer.subscribe([topic])
    read = 0
    deadline = time.time() + 20
    while read < n and time.time() < deadline:
        message = consumer.poll(0.5)
        if message and not message.error():
            moved(message.topic(), message.partition(), message.offset())
            read += 1
    consumer.commit(asynchronous=False)
    consumer.close()


def python_produce():
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=broker, client_id=client, linger_ms=1, max_in_flight_requests_per_connection=5)
    # Until the collector knows what a connection is, little is copied of a burst.
    first = producer.send(topic, b"first").get(10)
    moved(first.topic, first.partition, first.offset)
    time.sleep(0.1)
    sent = [producer.send(topic, b"v" * (10 + i % 300), key=str(i).encode()) for i in range(n - 1)]
    for future in sent:
        m = future.get(10)
        moved(m.topic, m.partition, m.offset)
    producer.close()


def python_consume():
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(topic, bootstrap_servers=broker, client_id=client, group_id=group, auto_offset_reset="earliest",
                             enable_auto_commit=False, fetch_max_wait_ms=200)
    read = 0
    deadline = time.time() + 20
    while read < n and time.time() < deadline:
        for messages in consumer.poll(500).values():
            for m in messages:
                moved(m.topic, m.partition, m.offset)
                read += 1
    consumer.commit()
    consumer.close()


{
    ("confluent", "produce"): confluent_produce, ("confluent", "toolarge"): confluent_produce,
    ("confluent", "consume"): confluent_consume, ("python", "produce"): python_produce, ("python", "consume"): python_consume,
}[library, mode]()
print(json.dumps(truth))
