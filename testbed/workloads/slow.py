# SPDX-License-Identifier: Apache-2.0

"""A server with a thread per connection that is slow as it is asked to be:
/busy/MS computes, /sleep/MS sleeps. Prints "listening PORT"."""

import http.server
import socketserver
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        _, how, ms, *_ = self.path.split("/")
        if how == "busy":
            end = time.thread_time() + int(ms) / 1000
            while time.thread_time() < end:
                pass
        else:
            time.sleep(int(ms) / 1000)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


server = Server((sys.argv[1], int(sys.argv[2])), Handler)
print("listening", server.server_port, flush=True)
server.serve_forever()
