# SPDX-License-Identifier: Apache-2.0
"""servers.py KIND: a server on a free port, which it prints; it ends with its input.

elasticsearch, opensearch and older (an OpenSearch that does not name itself) answer as
their documentation says; plain is a JSON API and some of CouchDB; s3 is moto, graphql
strawberry on hypercorn.
"""
import asyncio
import json
import logging
import os
import re
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SHARDS = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}


def announce(port):
    print("listening", port, flush=True)


class Search(BaseHTTPRequestHandler):
    """Elasticsearch or OpenSearch, as far as the clients below ask."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    kind = "elasticsearch"

    def log_message(self, *args):
        pass

    def reply(self, status, body):
        text = b"" if self.command == "HEAD" else json.dumps(body, separators=(",", ":")).encode()
        self.send_response_only(status)
        if self.kind == "elasticsearch":
            self.send_header("X-elastic-product", "Elasticsearch")
            self.send_header("content-type", "application/vnd.elasticsearch+json;compatible-with=8")
        else:
            if self.kind == "opensearch":
                self.send_header("X-OpenSearch-Version", "OpenSearch/3.2.0 (opensearch)")
            self.send_header("content-type", "application/json; charset=UTF-8")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def serve(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.partition("?")[0].strip("/").split("/")
        index, api = path[0], path[1] if len(path) > 1 else ""
        ident = path[2] if len(path) > 2 else ""
        document = {"_index": index, "_id": ident, "_version": 1}
        if path == [""]:
            version = {"number": "8.19.2"} if self.kind == "elasticsearch" else {"distribution": "opensearch", "number": "3.2.0"}
            self.reply(200, {"name": "node", "cluster_name": "truth", "version": version, "tagline": "You Know, for Search"})
        elif path[:2] == ["_cluster", "health"]:
            self.reply(200, {"cluster_name": "truth", "status": "green"})
        elif path[:1] == ["_cat"]:
            self.reply(200, [{"index": ident, "health": "green"}])
        elif api in ("_doc", "_create") and self.command in ("PUT", "POST"):
            self.reply(201, document | {"result": "created", "_shards": SHARDS})
        elif api == "_doc" and ident == "missing":
            self.reply(404, document | {"found": False})
        elif api == "_doc" and self.command == "DELETE":
            self.reply(200, document | {"result": "deleted", "_shards": SHARDS})
        elif api == "_doc":
            self.reply(200, document | {"found": True, "_source": {"text": "x" * 300}})
        elif api == "_update":
            self.reply(200, document | {"result": "updated", "_shards": SHARDS})
        elif api == "_search":
            hits = [{"_index": index, "_id": str(i), "_source": {"text": "x" * 200}} for i in range(100)]
            self.reply(200, {"took": 3, "timed_out": False, "_shards": SHARDS, "hits": {"hits": hits}})
        elif api == "_count":
            self.reply(200, {"count": 1, "_shards": SHARDS})
        elif api == "_bulk":
            self.reply(200, {"took": 3, "errors": False, "items": [{"index": document}]})
        elif api == "_mget":
            self.reply(200, {"docs": [document | {"found": True}]})
        elif api == "_refresh":
            self.reply(200, {"_shards": SHARDS})
        elif api == "":
            self.reply(200, {"acknowledged": True, "shards_acknowledged": True, "index": index})
        else:
            self.reply(400, {"error": {"root_cause": [{"type": "parsing_exception"}]}, "status": 400})

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve


class Plain(Search):
    """A JSON API and some of CouchDB: nothing to recognise."""

    kind = "plain"

    def serve(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        if "/_all_docs" in self.path:
            self.reply(200, {"total_rows": 3, "offset": 0, "rows": []})
        elif "/_bulk_docs" in self.path:
            self.reply(201, [{"ok": True, "id": "1", "rev": "1-2"}])
        elif "/_doc/" in self.path:
            self.reply(200, {"_id": "1", "_rev": "1-2"})
        else:
            self.reply(200, {"items": [], "took": 3})

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def listen_http(handler):
    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    announce(server.server_address[1])


def listen_s3():
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    moto = DomainDispatcherApplication(create_backend_app)
    count = iter(range(1 << 30))

    def app(environ, start):
        # S3's answers have identifiers, which moto's do not always have.
        def identified(status, headers, exc_info=None):
            headers = [(k, v) for k, v in headers if k.lower() != "x-amz-request-id"]
            return start(status, headers + [("x-amz-request-id", f"TX{next(count):014X}"), ("x-amz-id-2", "aWQy")], exc_info)

        return moto(environ, identified)

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    announce(server.server_port)


def listen_graphql():
    import strawberry
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from strawberry.asgi import GraphQL

    @strawberry.type
    class Query:
        @strawberry.field
        def hello(self, name: str = "you") -> str:
            return "hello " + name

    @strawberry.type
    class Mutation:
        @strawberry.mutation
        def add(self, name: str) -> str:
            return "added " + name

    app = GraphQL(strawberry.Schema(query=Query, mutation=Mutation), graphql_ide=None)
    logging.disable(logging.ERROR)  # errors of queries are asked for
    s = socket.create_server(("127.0.0.1", 0), backlog=128)
    config = Config()
    port = s.getsockname()[1]
    config.bind = [f"fd://{s.detach()}"]
    config.loglevel = "CRITICAL"
    config.h2_max_concurrent_streams = 256

    def run():
        asyncio.run(serve(app, config, shutdown_trigger=lambda: asyncio.Event().wait()))

    threading.Thread(target=run, daemon=True).start()
    announce(port)


def main():
    kind = sys.argv[1]
    if kind == "s3":
        listen_s3()
    elif kind == "graphql":
        listen_graphql()
    elif kind == "plain":
        listen_http(Plain)
    else:
        listen_http(type("Handler", (Search,), {"kind": kind}))
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
