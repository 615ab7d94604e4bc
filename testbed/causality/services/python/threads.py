# SPDX-License-Identifier: Apache-2.0
"""http.server with a thread per connection and urllib3's pool of connections;
calls at the same time are made by the threads of one executor."""
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import urllib3

from plan import PORT, parse

pool = urllib3.PoolManager(maxsize=64, retries=False, timeout=20)
executor = ThreadPoolExecutor(32)


def do(call):
    time.sleep(call.delay)
    if call.url:
        res = pool.request('POST' if call.body else 'GET', call.url, body=call.body or None)
        if res.status != 200:
            raise RuntimeError(f'{call.url}: {res.data.decode()}')


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True

    def do_GET(self):
        self.rfile.read(int(self.headers.get('Content-Length', 0)))
        status = 200
        try:
            task = parse(self.path)
            body = task.out
            for step in task.steps:
                if len(step) == 1:
                    do(step[0])
                else:
                    list(executor.map(do, step))
        except Exception as e:
            status, body = 500, f'python: {e!r}'.encode()
        self.send_response(status)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


server = Server(('127.0.0.1', PORT), Handler)
print('listening', PORT, flush=True)
server.serve_forever()
