# SPDX-License-Identifier: Apache-2.0
"""Truth records of the Python workloads: what really happened, one JSON line each."""

import json
import os
import time
from urllib.parse import parse_qs, urlsplit

_records = []


def now():
    """Wall clock, ns."""
    return time.time_ns()


def parse(target):
    """The case, id, path and query of a target, and what its query asks for."""
    parts = urlsplit(target)
    _, _, case, ident = parts.path.split("/")[:4]
    query = {k: v[0] for k, v in parse_qs(parts.query).items()}
    want = {k: int(query.get(k, d)) for k, d in (("status", 200), ("size", 10), ("delay", 0), ("chunks", 0))}
    return case, ident, parts.path, parts.query, want


def keep(role, target, method, **fields):
    """Keeps one record."""
    case, ident, path, query, _ = parse(target)
    record = {"case": case, "id": ident, "role": role, "pid": os.getpid(), "method": method, "path": path, "query": query}
    record.update(version="1.1", request_body=0, response_body=-1)
    record.update(fields)
    _records.append(record)


def write(directory):
    """Writes all records to DIRECTORY/PID.jsonl."""
    with open(os.path.join(directory, f"{os.getpid()}.jsonl"), "w", encoding="utf-8") as f:
        for record in _records:
            f.write(json.dumps(record) + "\n")
