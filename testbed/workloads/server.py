# SPDX-License-Identifier: Apache-2.0
"""server.py threading|asyncio TRUTH_DIR: an HTTP server that does what the query asks; stops on SIGTERM."""

import asyncio
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import truth
import time


class Handler(BaseHTTPRequestHandler):
    """http.server's way: head and body in writes of their own."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def answer(self):
        start = truth.now()
        _, _, _, _, want = truth.parse(self.path)
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        time.sleep(want["delay"] / 1e6)
        body = b"b" * want["size"]
        if self.command == "HEAD" or want["status"] in (204, 304):
            body = b""
        self.send_response(want["status"])
        if want["chunks"]:
            self.send_header("Transfer-Encoding", "chunked")
        elif want["status"] != 204:
            self.send_header("Content-Length", str(want["size"]))
        last = truth.now()
        self.end_headers()
        if want["chunks"]:
            for i in range(want["chunks"]):
                n = want["size"] * (i + 1) // want["chunks"] - want["size"] * i // want["chunks"]
                if n:
                    self.wfile.write(b"%x\r\n%s\r\n" % (n, b"b" * n))
            last = truth.now()
            self.wfile.write(b"0\r\n\r\n")
        elif body:
            last = truth.now()
            self.wfile.write(body)
        truth.keep("server", self.path, self.command, status=want["status"], request_body=length, response_body=len(body),
                   start_max=start, end_min=last, end_max=truth.now(), user_agent=self.headers.get("User-Agent", ""),
                   server_port=self.server.server_port, peer_port=self.client_address[1])

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer


async def serve_stream(reader, writer):
    """A server on asyncio streams that knows just enough HTTP."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            start = truth.now()
            lines = head.decode().split("\r\n")
            method, target, _ = lines[0].split(" ")
            headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:] if line)}
            length = int(headers.get("content-length", 0))
            await reader.readexactly(length)
            _, _, _, _, want = truth.parse(target)
            await asyncio.sleep(want["delay"] / 1e6)
            body = b"" if method == "HEAD" or want["status"] in (204, 304) else b"b" * want["size"]
            last = truth.now()
            size = b"" if want["status"] == 204 else b"Content-Length: %d\r\n" % want["size"]
            writer.write(b"HTTP/1.1 %d Said So\r\n%s\r\n" % (want["status"], size))
            writer.write(body)
            await writer.drain()
            truth.keep("server", target, method, status=want["status"], request_body=length, response_body=len(body),
                       start_max=start, end_min=last, end_max=truth.now() + 1_000_000, user_agent=headers.get("user-agent", ""),
                       server_port=writer.get_extra_info("sockname")[1], peer_port=writer.get_extra_info("peername")[1])
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve_asyncio(directory):
    server = await asyncio.start_server(serve_stream, "127.0.0.1", 0)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    await stop.wait()
    truth.write(directory)


def serve_threading(directory):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print("listening", server.server_port, flush=True)
    server.serve_forever(poll_interval=0.05)
    truth.write(directory)


if __name__ == "__main__":
    if sys.argv[1] == "asyncio":
        asyncio.run(serve_asyncio(sys.argv[2]))
    else:
        serve_threading(sys.argv[2])
