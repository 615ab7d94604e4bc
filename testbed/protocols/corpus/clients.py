# SPDX-License-Identifier: Apache-2.0
"""clients.py CONVERSATION PORT: talks to a server with a client library of Python, and prints
what it did, as record and package receiver/internal/protocol/recorded understand it."""

import asyncio
import collections
import sys
import threading

exchanges, messages, own = collections.Counter(), collections.Counter(), set()
what, port = sys.argv[1], int(sys.argv[2])


def did(line, n=1):
    exchanges[line] += n


def redis_py():
    import redis

    c = redis.Redis(port=port, protocol=2, lib_name=None, lib_version=None)
    for i in range(5):
        c.set(f"k{i}", "value " * i)
        did("SET")
        c.get(f"k{i}")
        did("GET")
    c.get("none")
    did("GET")
    c.set("long", "x" * 3000)
    did("SET")
    c.get("long")
    did("GET")
    c.lpush("list", "a", "b", b"\r\n\x00")
    did("LPUSH")
    c.lrange("list", 0, -1)
    did("LRANGE")
    try:
        c.get("list")
    except redis.ResponseError:
        did("GET WRONGTYPE")
    c.hset("hash", mapping={"a": "1", "b": "two"})
    did("HSET")
    c.hgetall("hash")
    did("HGETALL")
    p = c.pipeline(transaction=False)
    for i in range(20):
        p.set(f"p{i}", i)
        p.execute_command("INCR", f"p{i}")
        p.mget("p0", "none", "list")
    p.execute()
    did("SET", 20)
    did("INCR", 20)
    did("MGET", 20)
    p = c.pipeline()
    p.set("t", 1)
    p.execute_command("INCR", "t")
    p.execute()
    for line in ("MULTI", "SET", "INCR", "EXEC"):
        did(line)
    script = c.register_script("return {KEYS[1], {1, ARGV[1]}, redis.status_reply('fine')}")
    script(keys=["k"], args=["x"])
    did(f"EVALSHA {script.sha} NOSCRIPT")
    did("SCRIPT LOAD")
    did(f"EVALSHA {script.sha}")
    c.blpop("empty", 0.1)
    did("BLPOP")
    c.xadd("stream", {"a": "b"})
    did("XADD")
    c.xrange("stream")
    did("XRANGE")
    try:
        c.execute_command("NONSENSE", "a")
    except redis.ResponseError:
        did("NONSENSE ERR")


def redis_resp3():
    import redis.asyncio

    async def main():
        c = redis.asyncio.Redis(port=port, protocol=3, lib_name=None, lib_version=None)
        await c.ping()
        did("HELLO")
        did("PING")
        await c.zadd("zset", {"a": 1.5, "b": 2})
        did("ZADD")
        await c.zrange("zset", 0, -1, withscores=True)
        did("ZRANGE")
        await c.hset("h", "f", "v")
        did("HSET")
        await c.hgetall("h")
        did("HGETALL")
        await c.smembers("none")
        did("SMEMBERS")
        for n in range(3):
            p = c.pipeline(transaction=n == 2)
            for i in range(10):
                p.set(f"k{i}", "v" * i)
                p.hget("zset" if i == 5 else "h", "f")
            await p.execute(raise_on_error=False)
            did("SET", 10)
            did("HGET", 10 if n == 2 else 9)
            if n == 2:
                did("MULTI")
                did("EXEC")
            else:
                did("HGET WRONGTYPE")
        await c.aclose()

    asyncio.run(main())


def redis_pubsub():
    import redis

    options = dict(port=port, protocol=2, lib_name=None, lib_version=None)
    s = redis.Redis(**options).pubsub()
    c = redis.Redis(**options)
    s.subscribe("one", "two")
    s.get_message(timeout=1)
    s.get_message(timeout=1)
    did("SUBSCRIBE")
    s.psubscribe("p.*")
    s.get_message(timeout=1)
    did("PSUBSCRIBE")
    for i in range(5):
        c.publish("one", "message")
        c.publish("p.q", "another")
        did("PUBLISH", 2)
        s.get_message(timeout=1)
        s.get_message(timeout=1)
    s.unsubscribe("one", "two")
    s.get_message(timeout=1)
    s.get_message(timeout=1)
    did("UNSUBSCRIBE")


def memcached_text():
    from pymemcache.client.base import Client

    c = Client(("127.0.0.1", port), default_noreply=False)
    for i in range(10):
        c.set(f"k{i}", "v" * 100 * i)
        did("set")
        c.get(f"k{i}")
        did("get")
    c.get_many(["k0", "k1", "none"])
    did("get")
    c.gets("k1")
    did("gets")
    c.cas("k1", "x", b"1")
    did("cas EXISTS")
    c.add("k0", "x")
    did("add NOT_STORED")
    c.set("n", "5")
    did("set")
    c.incr("n", 3)
    did("incr")
    c.incr("none", 1)
    did("incr NOT_FOUND")
    c.delete("none")
    did("delete NOT_FOUND")
    c.delete("n")
    did("delete")
    c.touch("k0", 100)
    did("touch")
    c.set_many({f"m{i}": "\r\nEND\r\n" for i in range(20)})
    did("set", 20)
    c.get_many([f"m{i}" for i in range(20)])
    did("get")
    c.set_many({f"q{i}": "quiet" for i in range(5)}, noreply=True)
    did("set", 5)
    c.version()
    did("version")


def memcached_binary():
    import bmemcached

    c = bmemcached.Client((f"127.0.0.1:{port}",), None, None)
    for i in range(10):
        c.set(f"k{i}", "v" * 50 * i)
        did("set")
        c.get(f"k{i}")
        did("get")
    c.get("none")
    did("get")
    c.add("k0", "x")
    did("add 2")  # EXISTS: what the protocol has is a number
    c.delete("k9")
    did("delete")
    c.incr("n", 3)
    did("increment")


def postgresql_psycopg():
    import psycopg

    c = psycopg.connect(f"host=127.0.0.1 port={port} user=app password=secret dbname=shop sslmode=disable gssencmode=disable", autocommit=True)
    c.execute("CREATE TABLE a (id int PRIMARY KEY, v text)")
    did("CREATE TABLE a")
    for i in range(5):
        c.execute("INSERT INTO a VALUES (%s, %s)", (i, "v" * 30 * i), prepare=False)
        did("INSERT a")
    for i in range(10):
        c.execute("SELECT v FROM a WHERE id = %s", (i,), prepare=True).fetchall()
        did("SELECT a")
    with c.transaction():
        c.execute("UPDATE a SET v = 'x' WHERE id = 1")
    for line in ("BEGIN", "UPDATE a", "COMMIT"):
        did(line)
    for text, line in (("SELECT * FROM none", "SELECT none 42P01"), ("INSERT INTO a VALUES (1, '')", "INSERT a 23505"), ("SELECT 1/0", "SELECT 22012"), ("NONSENSE", "NONSENSE 42601")):
        try:
            c.execute(text)
        except psycopg.Error:
            did(line)
    with c.pipeline():
        cursors = []
        for i in range(10):
            cursors.append(c.execute("SELECT g FROM generate_series(1, %s::int) g", (i,), prepare=False))
        for cursor in cursors:
            cursor.fetchall()
    did("SELECT generate_series", 10)
    try:
        with c.pipeline() as p:
            c.execute("SELECT v FROM a", prepare=False)
            c.execute("SELECT 1/0 FROM a", prepare=False)
            c.execute("DELETE FROM a", prepare=False)
            p.sync()
    except psycopg.Error:
        pass
    did("SELECT a")
    did("SELECT a 22012")
    did("DELETE a pipeline_aborted")
    with c.cursor() as cursor:
        with cursor.copy("COPY a FROM STDIN") as copy:
            for i in range(100, 120):
                copy.write_row((i, "copied"))
        did("COPY a")
        with cursor.copy("COPY a TO STDOUT") as copy:
            for _ in copy:
                pass
        did("COPY a")
    c.close()


def postgresql_psycopg2():
    import psycopg2
    import psycopg2.extras

    c = psycopg2.connect(f"host=127.0.0.1 port={port} user=app password=secret dbname=shop sslmode=disable gssencmode=disable")
    c.autocommit = True
    cursor = c.cursor()
    cursor.execute("CREATE TABLE b (id int, v text)")
    did("CREATE TABLE b")
    psycopg2.extras.execute_values(cursor, "INSERT INTO b VALUES %s", [(i, "value") for i in range(30)])
    did("INSERT b")
    for i in range(10):
        cursor.execute("SELECT * FROM b WHERE id < %s", (i * 3,))
        cursor.fetchall()
        did("SELECT b")
    try:
        cursor.execute("SELECT nix FROM b")
    except psycopg2.Error:
        did("SELECT b 42703")
    c.autocommit = False
    cursor = c.cursor("named")
    cursor.itersize = 10
    cursor.execute("SELECT * FROM b")
    list(cursor)
    cursor.close()
    c.rollback()
    did("BEGIN")
    # DECLARE, FETCH until nothing comes, CLOSE: names of cursors are not of tables.
    did("DECLARE SELECT b")
    did("FETCH", 4)
    did("CLOSE")
    did("ROLLBACK")
    c.close()


def mysql(library):
    db = __import__(library)
    where = dict(host="127.0.0.1", port=port, user="app", password="secret", database="shop")
    where["charset" if library == "pymysql" else "compress"] = "utf8mb4" if library == "pymysql" else True
    c = db.connect(autocommit=True, **where)
    own.add("SET")
    table = "a_" + library.lower()
    cursor = c.cursor()

    def execute(line, text, args=None):
        try:
            cursor.execute(text, args)
            cursor.fetchall()
        except db.MySQLError:
            pass
        did(line)

    execute(f"CREATE TABLE {table}", f"CREATE TABLE {table} (id int PRIMARY KEY, v text)")
    for i in range(10):
        execute(f"INSERT {table}", f"INSERT INTO {table} VALUES (%s, %s)", (i, "it's " * 10 * i))
        execute(f"SELECT {table}", f"SELECT * FROM {table} WHERE id <= %s", (i,))
    execute(f"INSERT {table} 1062", f"INSERT INTO {table} VALUES (1, '')")
    execute("SELECT none 1146", "SELECT * FROM none")
    execute("NONSENSE 1064", "NONSENSE")
    execute(f"UPDATE {table}", f"UPDATE {table} SET v = '' WHERE id > 5")
    execute("BEGIN", "BEGIN")
    execute("ROLLBACK", "ROLLBACK")
    c.ping()
    did("PING shop")
    c.select_db("lab")
    did("INIT_DB shop")
    execute("SELECT", "SELECT 1, NULL, 'x'")
    c.close()


def mongodb():
    import pymongo
    import pymongo.errors

    client = pymongo.MongoClient("127.0.0.1", port, directConnection=True, retryWrites=False)
    items = client.shop.items
    items.insert_many([{"_id": i, "v": "a text " * i} for i in range(30)])
    did("insert items")
    list(items.find({"_id": {"$lt": 25}}).batch_size(10))
    did("find items")
    did("getMore items", 2)
    for i in range(10):
        items.find_one({"_id": i})
        did("find items")
        items.update_one({"_id": i}, {"$set": {"v": "another"}})
        did("update items")
    try:
        items.insert_one({"_id": 1})
    except pymongo.errors.DuplicateKeyError:
        did("insert items 11000")
    try:
        client.shop.command("nix")
    except pymongo.errors.OperationFailure as e:
        did(f"nix shop {e.code}")
    list(items.aggregate([{"$match": {"v": "another"}}]))
    did("aggregate items")
    items.delete_many({"_id": {"$gt": 5}})
    did("delete items")
    client.shop.list_collection_names()
    did("listCollections shop")
    items.count_documents({})
    did("aggregate items")
    client.close()
    own.add("endSessions admin")
    own.add("endSessions admin 59")


def amqp_pika():
    import pika
    import pika.exceptions

    parameters = pika.ConnectionParameters("127.0.0.1", port)
    connection = pika.BlockingConnection(parameters)
    did("connect")
    channel = connection.channel()
    did("channel.open")
    channel.exchange_declare("ex", "topic")
    did("exchange.declare ex")
    channel.queue_declare("q")
    did("queue.declare q")
    channel.queue_bind("q", "ex", "k.*")
    did("queue.bind q")
    for i in range(5):
        channel.basic_publish("ex", f"k.{i}", b"plain " * i)
        did(f"publish ex:k.{i}")
    channel.confirm_delivery()
    did("confirm.select")
    for i in range(5, 15):
        channel.basic_publish("ex", f"k.{i}", b"confirmed", pika.BasicProperties(headers={"a": "b", "n": i}, content_type="text/plain"))
        did(f"publish ex:k.{i}")
    try:
        channel.basic_publish("ex", "nowhere", b"x", mandatory=True)
    except pika.exceptions.UnroutableError:
        did("publish ex:nowhere NO_ROUTE")
    n = 0
    for method, _, _ in channel.consume("q"):
        if n % 5 == 4:
            channel.basic_nack(method.delivery_tag, requeue=False)
            did(f"deliver ex:k.{n}:q nack")
        else:
            channel.basic_ack(method.delivery_tag)
            did(f"deliver ex:k.{n}:q")
        n += 1
        if n == 15:
            break
    did("basic.consume q")
    channel.cancel()
    did("basic.cancel")
    channel.basic_get("q")
    did("get q")
    try:
        channel.queue_declare("none", passive=True)
    except pika.exceptions.ChannelClosedByBroker:
        did("queue.declare none NOT_FOUND")
    connection.close()
    did("connection.close")


def nats_py():
    import nats

    async def main():
        c = await nats.connect(f"nats://127.0.0.1:{port}")
        did("connect")
        got = asyncio.Queue()

        async def receive(m):
            got.put_nowait(m)

        await c.subscribe("a.*", cb=receive)

        async def answer(m):
            await m.respond(b"reply")

        await c.subscribe("svc", cb=answer)
        await c.flush()
        for i in range(20):
            await c.publish(f"a.{i}", b"x" * 10 * i, headers={"n": str(i)} if i % 3 == 0 else None)
            did(f"publish a.{i}")
            did(f"deliver a.{i}")
        for _ in range(20):
            await got.get()
        for i in range(5):
            await c.request("svc", b"request", timeout=5)
            did("request svc")
            did("deliver svc")
        await asyncio.gather(*(c.request("svc", b"together", timeout=5) for _ in range(10)))
        did("request svc", 10)
        did("deliver svc", 10)
        try:
            await c.request("nobody", b"x", timeout=1)
        except nats.errors.NoRespondersError:
            did("request nobody 503")
        await c.close()

    asyncio.run(main())


def nats_jetstream():
    import nats

    async def main():
        c = await nats.connect(f"nats://127.0.0.1:{port}")
        did("connect")
        js = c.jetstream()
        await js.add_stream(name="orders", subjects=["o.*"])
        for i in range(10):
            await js.publish(f"o.{i}", b"order " * i)
            did(f"publish o.{i}")
        s = await js.pull_subscribe("o.*", durable="worker")
        n = 0
        while n < 10:
            for m in await s.fetch(5, timeout=1):
                await m.ack()
                did(f"deliver {m.subject}")
                n += 1
        await c.flush()
        await c.close()
        # As many as the library needs.
        own.update(("fetch orders", "STREAM.CREATE orders", "CONSUMER.INFO orders", "CONSUMER.INFO orders 404", "STREAM.NAMES", "CONSUMER.DURABLE.CREATE orders", "CONSUMER.CREATE orders"))

    asyncio.run(main())


def mqtt(version):
    import paho.mqtt.client as paho

    c = paho.Client(paho.CallbackAPIVersion.VERSION2, f"client{version}", protocol=version)
    up, subscribed, gone = threading.Event(), threading.Event(), threading.Event()
    got = threading.Semaphore(0)
    c.on_connect = lambda *_: up.set()
    c.on_subscribe = lambda *_: subscribed.set()
    c.on_unsubscribe = lambda *_: gone.set()
    c.on_message = lambda *_: got.release()
    properties = None
    if version == paho.MQTTv5:
        properties = paho.Properties(paho.PacketTypes.PUBLISH)
        properties.UserProperty = ("key", "value")
        properties.ContentType = "text/plain"
    c.connect("127.0.0.1", port)
    c.loop_start()
    up.wait()
    did("connect")
    c.subscribe("t/#", 2)
    subscribed.wait()
    did("subscribe t/#")
    for qos in 0, 1, 2:
        for i in range(5):
            token = c.publish(f"t/{qos}/{i}", b"x" * 50 * i, qos, properties=properties)
            token.wait_for_publish()
            got.acquire()
            did(f"publish t/{qos}/{i}")
            did(f"deliver t/{qos}/{i}")
        tokens = [c.publish(f"t/{qos}/many", b"together", qos) for _ in range(10)]
        for token in tokens:
            token.wait_for_publish()
            got.acquire()
        did(f"publish t/{qos}/many", 10)
        did(f"deliver t/{qos}/many", 10)
    c.unsubscribe("t/#")
    gone.wait()
    did("unsubscribe t/#")
    c.disconnect()
    c.loop_stop()


def cassandra(version, compression):
    import cassandra
    import cassandra.cluster
    import cassandra.query

    cluster = cassandra.cluster.Cluster(["127.0.0.1"], port=port, protocol_version=version, compression=compression, schema_metadata_enabled=False,
                                        token_metadata_enabled=False)
    session = cluster.connect()
    own.update(f"SELECT system.{table}{status}" for table in ("local", "peers", "peers_v2") for status in ("", " 8704"))
    name = f"shop{version}{compression or ''}"
    session.execute(f"CREATE KEYSPACE {name} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}")
    did(f"CREATE KEYSPACE {name}")
    session.execute(f"CREATE TABLE {name}.items (k text PRIMARY KEY, v text)")
    did(f"CREATE TABLE {name}.items")
    insert = session.prepare(f"INSERT INTO {name}.items (k, v) VALUES (?, ?)")
    did(f"PREPARE INSERT {name}.items")
    for i in range(10):
        session.execute(insert, (f"k{i}", "value " * i))
        did(f"INSERT {name}.items")
    for future in [session.execute_async(insert, (f"a{i}", "at once")) for i in range(30)]:
        future.result()
    did(f"INSERT {name}.items", 30)
    select = session.prepare(f"SELECT v FROM {name}.items WHERE k = ?")
    did(f"PREPARE SELECT {name}.items")
    for i in range(10):
        session.execute(select, (f"k{i}",))
        did(f"SELECT {name}.items")
    batch = cassandra.query.BatchStatement()
    for i in range(5):
        batch.add(insert, (f"b{i}", "batch"))
    session.execute(batch)
    did(f"BATCH INSERT {name}.items")
    try:
        session.execute(f"SELECT * FROM {name}.none")
    except cassandra.InvalidRequest:
        did(f"SELECT {name}.none 8704")  # INVALID, 0x2200
    list(session.execute(cassandra.query.SimpleStatement(f"SELECT * FROM {name}.items", fetch_size=20)))
    did(f"SELECT {name}.items", 3)  # pages
    cluster.shutdown()


def kafka_own():
    own.update(("ApiVersions", "Metadata", "FindCoordinator", "JoinGroup", "SyncGroup", "Heartbeat", "LeaveGroup", "OffsetFetch", "ListOffsets",
                "InitProducerId", "GetTelemetrySubscriptions", "ApiVersions UNSUPPORTED_VERSION", "FindCoordinator COORDINATOR_NOT_AVAILABLE",
                "JoinGroup MEMBER_ID_REQUIRED", "Metadata LEADER_NOT_AVAILABLE", "Metadata UNKNOWN_TOPIC_OR_PARTITION"))


def kafka_python():
    import kafka

    producer = kafka.KafkaProducer(bootstrap_servers=f"127.0.0.1:{port}", linger_ms=5)
    producer.send("orders", b"first").get(20)
    for future in [producer.send("orders", b"v" * (10 + i), key=str(i).encode()) for i in range(99)]:
        future.get(20)
    messages["send orders"] += 100
    producer.close()
    consumer = kafka.KafkaConsumer("orders", bootstrap_servers=f"127.0.0.1:{port}", group_id="readers", auto_offset_reset="earliest",
                                   enable_auto_commit=False, fetch_max_wait_ms=100)
    read = 0
    while read < 100:
        for records in consumer.poll(500).values():
            read += len(records)
    messages["poll orders"] += read
    consumer.commit()
    did("commit orders")
    consumer.close()
    kafka_own()


def kafka_confluent():
    import confluent_kafka

    producer = confluent_kafka.Producer({"bootstrap.servers": f"127.0.0.1:{port}", "linger.ms": 1, "batch.num.messages": 20, "compression.type": "lz4"})
    sent = 0

    def delivered(error, _):
        nonlocal sent
        sent += error is None

    for i in range(100):
        producer.produce("parts", b"v" * (10 + i), key=str(i), on_delivery=delivered)
        producer.poll(0)
    producer.flush(20)
    assert sent == 100, sent
    messages["send parts"] += sent
    consumer = confluent_kafka.Consumer({"bootstrap.servers": f"127.0.0.1:{port}", "group.id": "librdkafka", "auto.offset.reset": "earliest",
                                         "enable.auto.commit": False, "fetch.wait.max.ms": 100})
    consumer.subscribe(["parts"])
    read = 0
    while read < 100:
        m = consumer.poll(0.5)
        read += m is not None and m.error() is None
    messages["poll parts"] += read
    consumer.commit(asynchronous=False)
    did("commit parts")
    consumer.close()
    kafka_own()


def s3():
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError

    c = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="eu-west-1", aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
                     aws_secret_access_key="wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", config=Config(retries={"total_max_attempts": 1}, signature_version="s3v4"))
    bucket = "a-bucket"
    c.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    did("S3.CreateBucket 200")
    c.put_object(Bucket=bucket, Key="a dir/k+1", Body=b"x" * 5000)
    did("S3.PutObject 200")
    c.get_object(Bucket=bucket, Key="a dir/k+1")["Body"].read()
    did("S3.GetObject 200")
    c.head_object(Bucket=bucket, Key="a dir/k+1")
    did("S3.HeadObject 200")
    try:
        c.get_object(Bucket=bucket, Key="none")
    except ClientError:
        did("S3.GetObject 404")
    c.list_objects_v2(Bucket=bucket)
    did("S3.ListObjectsV2 200")
    upload = c.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    did("S3.CreateMultipartUpload 200")
    part = c.upload_part(Bucket=bucket, Key="big", UploadId=upload, PartNumber=1, Body=b"y" * 1000)
    did("S3.UploadPart 200")
    c.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    did("S3.CompleteMultipartUpload 200")
    c.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "big"}, {"Key": "a dir/k+1"}]})
    did("S3.DeleteObjects 200")
    c.delete_bucket(Bucket=bucket)
    did("S3.DeleteBucket 204")


{
    "s3": s3, "redis-py": redis_py, "redis-resp3": redis_resp3, "redis-pubsub": redis_pubsub,
    "memcached-text": memcached_text, "memcached-binary": memcached_binary,
    "postgresql-psycopg": postgresql_psycopg, "postgresql-psycopg2": postgresql_psycopg2,
    "mysql-pymysql": lambda: mysql("pymysql"), "mysql-compressed": lambda: mysql("MySQLdb"),
    "mongodb": mongodb, "amqp-pika": amqp_pika, "nats-py": nats_py, "nats-jetstream": nats_jetstream,
    "mqtt-3": lambda: mqtt(4), "mqtt-5": lambda: mqtt(5),
    "cassandra-4": lambda: cassandra(4, None), "cassandra-lz4": lambda: cassandra(4, "lz4"), "cassandra-5": lambda: cassandra(5, None),
    "kafka-python": kafka_python, "kafka-confluent": kafka_confluent,
}[what]()
for line in sorted(exchanges):
    print("exchanges", exchanges[line], line)
for line in sorted(messages):
    print("messages", messages[line], line)
for line in sorted(own - exchanges.keys()):
    print("own", line)
