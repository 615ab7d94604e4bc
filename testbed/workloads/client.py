# SPDX-License-Identifier: Apache-2.0
"""client.py keepalive|urllib TRUTH_DIR PORT CASE COUNT: an HTTP client of the standard library."""

import http.client
import sys
import urllib.error
import urllib.request

import truth

MIX = [("GET", "status=200&size=100", 0), ("POST", "status=201&size=2000", 5000), ("GET", "status=404&size=9", 0),
       ("GET", "status=500&size=9", 0), ("GET", "status=200&size=60000&chunks=7", 0), ("HEAD", "status=200&size=700", 0),
       ("GET", "status=204", 0), ("DELETE", "status=200&delay=3000", 0)]


def main():
    kind, directory, port, case, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
    agent = f"py-{kind}"
    chunked = "nochunks" not in sys.argv
    connection = http.client.HTTPConnection("127.0.0.1", port) if kind == "keepalive" else None
    for i in range(count):
        method, query, size = MIX[i % len(MIX)]
        if not chunked:
            query = query.replace("&chunks=7", "")
        target = f"/case/{case}/{kind}{i:05d}?{query}"
        body = b"q" * size or None
        headers = {"User-Agent": agent}
        if connection:
            start = truth.now()
            connection.request(method, target, body=body, headers=headers)
            sent = truth.now()
            response = connection.getresponse()
            got = len(response.read())
            peer = connection.sock.getpeername()[1] if connection.sock else 0
            status = response.status
        else:
            start, sent, peer = truth.now(), 0, port
            request = urllib.request.Request(f"http://127.0.0.1:{port}{target}", data=body, headers=headers, method=method)
            try:
                with urllib.request.urlopen(request) as response:
                    status, got = response.status, len(response.read())
            except urllib.error.HTTPError as e:
                status, got = e.code, len(e.read())
        truth.keep("client", target, method, status=status, request_body=size, response_body=got, start_min=start,
                   start_max=sent, end_max=truth.now(), user_agent=agent, server_port=port, peer_port=peer)
    truth.write(directory)


main()
