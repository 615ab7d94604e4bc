# SPDX-License-Identifier: Apache-2.0
"""A client and a server of gRPC (grpcio, on gRPC's C core) that say what they have
done, as the Go command in ../truth does.

    truth.py grpc-server
    truth.py grpc-client -target HOST:PORT -name CASE -streams N -count N -kinds unary,...
"""

import argparse
import json
import sys
import threading
import time
from concurrent import futures

import grpc

BIG = 1 << 20
CODES = {c.value[0]: c for c in grpc.StatusCode}
OPTIONS = [
    ("grpc.max_receive_message_length", 8 << 20),
    ("grpc.max_metadata_size", 1 << 20),
    ("grpc.absolute_max_metadata_size", 1 << 20),
    ("grpc.so_reuseport", 0),
]
lock = threading.Lock()


def record(path, code, start):
    with lock:
        print(json.dumps({"Path": path, "Code": code.name, "Start": start, "End": time.time_ns()}))


def serve(path, requests, context):
    kind, _, ident = path.removeprefix("/truth.").partition("/")
    start, code = time.time_ns(), grpc.StatusCode.OK
    try:
        if kind == "bidi":
            for r in requests:
                yield r
            return
        if kind in ("slow", "cancelled"):
            while context.is_active():
                time.sleep(0.001)
            code = grpc.StatusCode.CANCELLED
            return
        for _ in requests:
            pass
        if kind == "coded":
            code = CODES[int(ident.rsplit("-", 1)[1]) % 17]
            if code != grpc.StatusCode.OK:
                context.set_code(code)
                context.set_details("as asked for")
                return
        if kind == "serverstream":
            for _ in range(5):
                yield bytes(300)
        else:
            yield bytes(BIG if kind == "big" else 10)
    finally:
        record(path, code, start)


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        path = details.method
        return grpc.stream_stream_rpc_method_handler(lambda r, c: serve(path, r, c))


def server():
    s = grpc.server(futures.ThreadPoolExecutor(max_workers=128), options=OPTIONS)
    s.add_generic_rpc_handlers((Handler(),))
    port = s.add_insecure_port("127.0.0.1:0")
    s.start()
    print("listening", port, flush=True)
    sys.stdin.read()
    s.stop(0.1).wait()


def call(channel, kind, ident):
    path = f"/truth.{kind}/{ident}"
    messages, size, timeout, metadata = 1, 10, 20, []
    if kind == "slow":
        timeout = 0.01
    elif kind in ("clientstream", "bidi"):
        messages, size = 4, 300
    elif kind == "big":
        size = BIG
    elif kind == "longheader":
        metadata = [("x-long", "long/" * 3200 + ident)]
    start = time.time_ns()
    method = channel.stream_stream(path)
    c = method(iter([bytes(size)] * messages), timeout=timeout, metadata=metadata)
    if kind == "cancelled":
        threading.Timer(0.005, c.cancel).start()
    try:
        for _ in c:
            pass
    except grpc.RpcError:
        pass
    record(path, c.code(), start)


def client(o):
    with grpc.insecure_channel(o.target, options=OPTIONS) as channel:
        grpc.channel_ready_future(channel).result(10)
        if o.warm:
            call(channel, "unary", f"warm-{o.name}")
            time.sleep(0.2)
        with futures.ThreadPoolExecutor(max_workers=o.streams) as pool:
            jobs = [
                pool.submit(call, channel, kind, f"{o.name}-{kind}-{n}")
                for n in range(o.count)
                for kind in o.kinds.split(",")
            ]
            for j in jobs:
                j.result()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("mode", choices=["grpc-server", "grpc-client"])
    p.add_argument("-target")
    p.add_argument("-name", default="case")
    p.add_argument("-streams", type=int, default=1)
    p.add_argument("-count", type=int, default=100)
    p.add_argument("-kinds", default="unary")
    p.add_argument("-warm", action="store_true")
    o = p.parse_args()
    server() if o.mode == "grpc-server" else client(o)


main()
