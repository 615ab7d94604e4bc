# SPDX-License-Identifier: Apache-2.0
"""http.client against `peer server`, as `peer client` does it.

client.py MODE ADDRESS PATH REQUESTS CONNECTIONS LARGEST HEAD

MODE: keep (one connection, with a timeout: its socket does not block), fresh (a
connection per request, without: its socket blocks), block (keep, without).
"""

import hashlib
import http.client
import json
import random
import sys
import threading
import time

mode, address, path = sys.argv[1:4]
requests, connections, largest, head = map(int, sys.argv[4:8])
content = random.Random(1).randbytes(2 << 20)
trap = b"GET /trap HTTP/1.1\r\nHost: trap\r\n\r\n"
lock = threading.Lock()
numbers = iter(range(requests))
result = {"Requests": 0, "Failed": 0, "WrongHead": 0, "WrongBody": 0, "Injected": 0, "Misplaced": 0, "First": ""}


def size(n):
    if n % 3 == 0 or largest == 0:
        return 0
    if n % 100 == 1:
        return largest
    if n % 10 == 1:
        return random.randint(0, min(largest, 100 << 10))
    return random.randint(0, min(largest, 2000))


def wrong(what, text):
    result[what] += 1
    result["First"] = result["First"] or str(text)


def one(connection, n):
    body = content[n % (1 << 20) :][: size(n)]
    if len(body) > len(trap) and n % 7 == 0:
        body = trap + body[len(trap) :]
    headers = {}
    if n % 50 == 7:
        headers["X-Filler"] = "f" * head
    if body:
        connection.request("POST", f"{path}/{n}", body, headers)
    else:
        connection.request("GET", f"{path}/{n}", headers=headers)
    answer = connection.getresponse().read().decode()
    fields = answer.rstrip("\n").split(" ", 2)
    with lock:
        result["Requests"] += 1
        if fields[1] != hashlib.sha256(body).hexdigest()[:16]:
            wrong("WrongBody", f"body of {len(body)} bytes arrived changed")
        if fields[2]:
            result["Injected"] += 1
            if " | " in fields[2] or not fields[2].startswith("1 traceparent: 00-"):
                wrong("Misplaced", fields[2])


def work():
    connection = None
    while True:
        with lock:
            n = next(numbers, None)
        if n is None:
            return
        if connection is None or mode == "fresh":
            if connection is not None:
                connection.close()
            timeout = {"timeout": 30} if mode == "keep" else {}
            connection = http.client.HTTPConnection(address, **timeout)
        try:
            one(connection, n)
        except Exception as e:
            with lock:
                result["Requests"] += 1
                wrong("Failed", repr(e))
            connection = None


sys.stdin.readline()
began = time.monotonic_ns()
threads = [threading.Thread(target=work) for _ in range(connections)]
for t in threads:
    t.start()
for t in threads:
    t.join()
result["Nanoseconds"] = time.monotonic_ns() - began
print(json.dumps(result), flush=True)
