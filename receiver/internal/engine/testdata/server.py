# SPDX-License-Identifier: Apache-2.0
"""An HTTP server that answers every request with the id of the process that served it.

server.py [--workers N] [--wait SECONDS] [--port PORT]: with workers they are forked, and
accept alone; it listens after the wait. Says "listening PORT", and "ready" before it waits.
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
options = options.parse_args()


def serve(connection):
    data = b""
    while True:
        more = connection.recv(65536)
        if not more:
            return
        data += more
        while b"\r\n\r\n" in data:
            _, data = data.split(b"\r\n\r\n", 1)
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
