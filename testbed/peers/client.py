# SPDX-License-Identifier: Apache-2.0
"""Talks to servers by name, with glibc's resolver, redis-py, psycopg and http.client; or,
with --asyncio, by asyncio: client.py ROUNDS [--asyncio] KIND:NAME:PORT..."""
import asyncio
import http.client
import sys

import psycopg
import redis

rounds = int(sys.argv[1])
targets = [a.split(":") for a in sys.argv[2:] if a != "--asyncio"]


def connect(kind, name, port):
    if kind == "redis":
        c = redis.Redis(host=name, port=int(port), single_connection_client=True)
        return lambda: c.get("asked/" + name), c.close
    if kind == "pg":
        c = psycopg.connect(f"host={name} port={port} user=tester dbname=postgres", autocommit=True)
        return lambda: c.execute(f"SELECT 'asked/{name}'").fetchall(), c.close
    c = http.client.HTTPConnection(name, int(port))

    def get():
        c.request("GET", "/asked/" + name)
        c.getresponse().read()

    return get, c.close


async def main():
    for _ in range(rounds):
        for _, name, port in targets:
            reader, writer = await asyncio.open_connection(name, int(port))
            key = "asked/" + name
            writer.write(f"*2\r\n$3\r\nGET\r\n${len(key)}\r\n{key}\r\n".encode())
            await reader.readline()
            writer.close()
            await writer.wait_closed()


if "--asyncio" in sys.argv:
    asyncio.run(main())
else:
    for _ in range(rounds):
        connections = []
        for t in targets:
            connections.append(connect(*t))
            connections[-1][0]()
        for request, close in connections:
            request()
            close()
