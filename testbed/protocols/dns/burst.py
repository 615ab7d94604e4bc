# SPDX-License-Identifier: Apache-2.0
"""Asks for many names at once.

burst.py SERVER PREFIX COUNT DEPTH MODE

MODE: connected (one UDP socket), unconnected (one, with sendto), fresh (one per name),
tcp (one connection). DEPTH queries are in flight. The names are PREFIX-N.dns.test; of the
responses the number has to be right.
"""

import socket
import struct
import sys

server, prefix, count, depth, mode = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]


def query(n):
    name = b"".join(bytes([len(part)]) + part for part in f"{prefix}-{n}.dns.test".encode().split(b"."))
    return struct.pack(">6H", 1 + n % 50000, 0x0100, 1, 0, 0, 0) + name + b"\0" + struct.pack(">2H", 1, 1)


def make():
    if mode == "tcp":
        return socket.create_connection((server, 53))
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(10)
    if mode != "unconnected":
        s.connect((server, 53))
    return s


def send(s, q):
    if mode == "tcp":
        s.sendall(struct.pack(">H", len(q)) + q)
    elif mode == "unconnected":
        s.sendto(q, (server, 53))
    else:
        s.send(q)


def exactly(s, n):
    b = b""
    while len(b) < n:
        more = s.recv(n - len(b))
        if not more:
            sys.exit("closed")
        b += more
    return b


def receive(s):
    if mode == "tcp":
        return exactly(s, struct.unpack(">H", exactly(s, 2))[0])
    return s.recv(4096)


s = make()
for first in range(0, count, depth):
    batch = range(first, min(first + depth, count))
    for n in batch:
        if mode == "fresh":
            s = make()
        send(s, query(n))
        if mode == "fresh":
            receive(s)
    if mode != "fresh":
        ids = {struct.unpack(">H", receive(s)[:2])[0] for _ in batch}
        if ids != {1 + n % 50000 for n in batch}:
            sys.exit("wrong responses")
