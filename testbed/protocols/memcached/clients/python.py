# SPDX-License-Identifier: Apache-2.0
"""Does what its arguments say with pymemcache, python-binary-memcached, or meta commands
written by hand; see ../memcached_test.go."""
import argparse
import os
import socket
import time

p = argparse.ArgumentParser()
for a in "address case wait mode".split():
    p.add_argument("--" + a, default="")
for a, d in dict(n=0, depth=1, size=10).items():
    p.add_argument("--" + a, type=int, default=d)
o = p.parse_args()
value = "v" * o.size


def pause():
    time.sleep(0.3)  # a process is looked at before it works
    while o.wait and not os.path.exists(o.wait):
        time.sleep(0.02)


def key(j):
    return f"{o.case}:{j}"


def pymemcache():
    from pymemcache.client.base import Client
    from pymemcache.exceptions import MemcacheClientError

    where = o.address if o.address.startswith("/") else tuple(o.address.split(":"))
    if not isinstance(where, str):
        where = (where[0], int(where[1]))
    c = Client(where, default_noreply=False)
    c.version()
    pause()
    for j in range(o.n):
        k = j % 5
        if k == 0:
            c.set(key(j), value)
        elif k == 1:
            c.get_many([key(j), key(j - 1)])
        elif k == 2:
            try:
                c.incr(key(j), 1)
            except MemcacheClientError:
                pass
        elif k == 3:
            c.add(key(j), "x")
        else:
            c.delete(key(j))


def binary():
    import bmemcached

    c = bmemcached.Client((o.address,), None, None)
    c.get("warm")
    pause()
    for j in range(o.n):
        k = j % 5
        if k == 0:
            c.set(key(j), value)
        elif k == 1:
            c.get_multi([key(j), key(j - 1)])
        elif k == 2:
            c.get(key(j))
        elif k == 3:
            c.add(key(j), "x")
        else:
            c.delete(key(j))


def meta():
    """Pipelines of meta commands, all quiet, with opaques; a noop ends each."""
    host, port = o.address.split(":")
    s = socket.create_connection((host, int(port)))
    f = s.makefile("rwb")
    f.write(b"mn\r\n")
    f.flush()
    f.readline()
    pause()
    for i in range(0, o.n, o.depth):
        for j in range(i, min(i + o.depth, o.n)):
            k = j % 5
            b = key(j)
            if k == 0:
                f.write(f"ms {b} {len(value)} q O{j}\r\n{value}\r\n".encode())
            elif k == 1:
                f.write(f"mg {b} v q O{j}\r\n".encode())
            elif k == 2:
                f.write(f"mg {key(j)} v O{j}\r\n".encode())
            elif k == 3:
                f.write(f"ms {b} 1 MA q O{j}\r\nx\r\n".encode())
            else:
                f.write(f"md {b} q O{j}\r\n".encode())
        f.write(b"mn\r\n")
        f.flush()
        while f.readline() != b"MN\r\n":
            pass


dict(pymemcache=pymemcache, binary=binary, meta=meta)[o.mode]()
