# SPDX-License-Identifier: Apache-2.0
#
# client.py PORT TAG N VERSION COMPRESSION does what clients do with the Python driver of
# Cassandra and prints what it did: see package databases.
import json
import sys
import threading
import time

import cassandra.cluster
import cassandra.policies
import cassandra.protocol

port, tag, n, version, compression = sys.argv[1:6]
cluster = cassandra.cluster.Cluster(
    ["127.0.0.1"], port=int(port), protocol_version=int(version), compression=compression == "lz4",
    execution_profiles={cassandra.cluster.EXEC_PROFILE_DEFAULT: cassandra.cluster.ExecutionProfile(
        load_balancing_policy=cassandra.policies.RoundRobinPolicy(), request_timeout=20)})
session = cluster.connect()
begin = time.time()
while time.time() - begin < 0.4:
    session.execute("SELECT release_version FROM system.local")
lock = threading.Lock()


def do(ident, summary, what, **more):
    r = {"id": ident, "summary": summary, "rows": -1, "start": time.time_ns()}
    try:
        rows = what()
        if rows is not None:
            r["rows"] = len(rows.current_rows)
    except cassandra.protocol.ErrorMessage as e:
        r["status"] = str(e.code)
    except cassandra.InvalidRequest:
        r["status"] = str(0x2200)
    r["end"] = time.time_ns()
    r.update(more)
    with lock:
        sys.stdout.write(json.dumps(r) + "\n")


def work(i):
    for k in range(int(n)):
        ident = "id_%s_%d_%d" % (tag, i, k)
        kind = k % 4
        if kind == 0:
            do(ident, "SELECT shop.items", lambda: session.execute("SELECT k AS %s FROM shop.items LIMIT %d" % (ident, 1 + k % 20)))
        elif kind == 1:
            do(ident, "SELECT shop." + ident, lambda: session.execute("SELECT k FROM shop." + ident))
        elif kind == 2:
            prepared = []
            do(ident, "PREPARE SELECT shop.items", lambda: prepared.append(session.prepare("SELECT v AS %s FROM shop.items WHERE k = ?" % ident)))
            do(ident, "SELECT shop.items", lambda: session.execute(prepared[0], ["key 2"]))
        else:
            do("", "UPDATE shop.items", lambda: session.execute("UPDATE shop.items SET v = 'secret' WHERE k = 'key 1'") and None)


threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
sys.stdout.flush()
cluster.shutdown()
