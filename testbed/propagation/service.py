# SPDX-License-Identifier: Apache-2.0
"""A service that asks another one, a request per connection, and answers what that says.

service.py NEXT
"""

import http.client
import http.server
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        connection = http.client.HTTPConnection(sys.argv[1])
        connection.request("GET", self.path)
        body = connection.getresponse().read()
        connection.close()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("", 0), Handler)
print("listening", server.server_port, flush=True)
server.serve_forever()
