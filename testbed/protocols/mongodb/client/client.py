# SPDX-License-Identifier: Apache-2.0
#
# client.py PORT TAG N does what clients do with PyMongo and prints what it did: see
# package databases.
import json
import sys
import threading
import time

import pymongo
import pymongo.errors

port, tag, n = sys.argv[1:4]
client = pymongo.MongoClient("127.0.0.1", int(port), retryWrites=False, directConnection=True)
db = client.shop


def do(ident, summary, what, **more):
    r = {"id": ident, "summary": summary, "rows": -1, "start": time.time_ns()}
    try:
        rows = what()
        if rows is not None:
            r["rows"] = rows
    except pymongo.errors.OperationFailure as e:
        r["status"] = str(e.code)
    r["end"] = time.time_ns()
    r.update(more)
    sys.stdout.write(json.dumps(r) + "\n")


def work(i):
    for k in range(int(n)):
        ident = "id_%s_%d_%d" % (tag, i, k)
        kind = k % 4
        if kind == 0:
            do(ident, "find items", lambda: len(list(db.items.find({ident: None}).limit(1 + k % 20))))
        elif kind == 1:
            do(ident, "insert " + ident, lambda: db[ident].insert_one({"v": "x" * 1000}) and None)
        elif kind == 2:
            do(ident, "nix " + ident, lambda: db.command("nix", ident))
        else:
            # Batches: the first is the operation's, the others are getMore.
            do(ident, "find items", lambda: len(list(db.items.find({ident: None}).batch_size(15))), rows=15)


threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
client.close()
