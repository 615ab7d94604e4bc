# SPDX-License-Identifier: Apache-2.0
"""An HTTP server that answers every request with the id of the process that served it.

server.py [--workers N] [--wait SECONDS] [--port PORT] [--export PORT]: with workers they are
forked, and accept alone; it listens after the wait, and says "listening PORT". What it
gets with POST, and GET requests for /export..., make it POST to /v1/traces of the port of --export.
"""
import argparse
import os
import socket
import threading
import time

options = argparse.ArgumentParser()
options.add_argument("--workers", type=int, default=0)
options.add_argument("--wait", type=float, default=0)
options.add_argument("--port", type=int, default=0)
options.add_argument("--export", type=int, default=0)
options = options.parse_args()


def export():
    with socket.create_connection(("127.0.0.1", options.export)) as s:
        s.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        s.recv(65536)


def serve(connection):
    data = b""
    while True:
        more = connection.recv(65536)
        if not more:
            return
        data += more
        while b"\r\n\r\n" in data:
            head, data = data.split(b"\r\n\r\n", 1)
            if options.export and head.startswith((b"POST ", b"GET /export")):
                export()
            body = str(os.getpid()).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def accept():
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


time.sleep(options.wait)
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", options.port))
listener.listen(64)
print("listening", listener.getsockname()[1], flush=True)
for _ in range(options.workers):
    if os.fork() == 0:
        accept()
if options.workers == 0:
    accept()
while True:
    time.sleep(60)
