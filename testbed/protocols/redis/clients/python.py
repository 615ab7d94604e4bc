# SPDX-License-Identifier: Apache-2.0
"""Does what its arguments say with redis-py; see ../redis_test.go."""
import argparse
import asyncio
import os
import time

import redis
import redis.asyncio

p = argparse.ArgumentParser()
for a in "network address case wait mode".split():
    p.add_argument("--" + a, default="")
for a, d in dict(n=0, depth=1, workers=1, protocol=2, size=10).items():
    p.add_argument("--" + a, type=int, default=d)
o = p.parse_args()

if o.network == "unix":
    where = dict(unix_socket_path=o.address)
else:
    host, port = o.address.split(":")
    where = dict(host=host, port=int(port))
where["protocol"] = o.protocol
value = "v" * o.size
SCRIPT = "return redis.error_reply(ARGV[1])"


def add(pipe, j):
    key = f"{o.case}:{j}"
    if j % 4 == 0:
        pipe.set(key, value)
    elif j % 4 == 1:
        pipe.mget(key, f"{o.case}:{j - 1}")
    elif j % 4 == 2:
        pipe.eval(SCRIPT, 0, f"E{o.case.upper()}{j} as told", key)
    else:
        pipe.execute_command("INCR", key)  # incr() would be INCRBY


def pause():
    time.sleep(0.3)  # a process is looked at before it works
    while o.wait and not os.path.exists(o.wait):
        time.sleep(0.02)


def sync():
    c = redis.Redis(**where)
    c.ping()
    pause()
    for i in range(0, o.n, o.depth):
        pipe = c.pipeline(transaction=False)
        for j in range(i, min(i + o.depth, o.n)):
            add(pipe, j)
        pipe.execute(raise_on_error=False)


async def aio():
    c = redis.asyncio.Redis(**where)
    await c.ping()
    pause()

    async def worker(w):
        for i in range(w * o.depth, o.n, o.workers * o.depth):
            pipe = c.pipeline(transaction=False)
            for j in range(i, min(i + o.depth, o.n)):
                add(pipe, j)
            await pipe.execute(raise_on_error=False)

    await asyncio.gather(*(worker(w) for w in range(o.workers)))
    await c.aclose()


asyncio.run(aio()) if o.mode == "asyncio" else sync()
