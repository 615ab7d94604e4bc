# SPDX-License-Identifier: Apache-2.0
#
# client.py LIBRARY HOST PORT SOCKET TAG N COMPRESS does what clients do with PyMySQL
# or mysqlclient (MySQLdb, on libmariadb) and prints what it did: see truth in the test.
import json
import sys
import threading
import time

library, host, port, socket, tag, n, compress = sys.argv[1:8]
if library == "pymysql":
    import pymysql as db
    import pymysql.cursors as cursors
else:
    import MySQLdb as db
    import MySQLdb.cursors as cursors

where = {"unix_socket": socket} if socket else {"host": host, "port": int(port)}
if compress == "1":
    where["compress"] = True


def do(connection, ident, summary, text, rows=True, stream=False, args=None):
    r = {"id": ident, "summary": summary, "rows": -1, "start": time.time_ns()}
    cursor = connection.cursor(cursors.SSCursor if stream else None)
    try:
        cursor.execute(text, args)
        if rows:
            r["rows"] = len(cursor.fetchall())
    except db.MySQLError as e:
        r["status"], r["rows"] = str(e.args[0]), -1
    cursor.close()
    r["end"] = time.time_ns()
    sys.stdout.write(json.dumps(r) + "\n")


def work(i):
    connection = db.connect(user="app", password="secret", database="shop", autocommit=True, **where)
    for k in range(int(n)):
        ident = "id_%s_%d_%d" % (tag, i, k)
        kind = k % 8
        if kind == 0:
            do(connection, ident, "SELECT items", "SELECT v AS %s FROM items WHERE id < %d" % (ident, k % 40))
        elif kind == 1:
            do(connection, ident, "SELECT items", "SELECT v AS %s FROM items" % ident, stream=True)
        elif kind == 2:
            do(connection, ident, "SELECT nix_" + ident, "SELECT * FROM nix_" + ident)
        elif kind == 3:
            do(connection, ident, "SET", "SET @%s = 'x'" % ident, rows=False)
        elif kind == 4:
            do(connection, ident, "SELECT items", "SELECT v AS " + ident + " FROM items WHERE v <> %s", args=("it's " * 20000,))
        elif kind == 5:
            do(connection, ident, "SELECT", "SELECT REPEAT('x', 1048576) AS %s" % ident)
        elif kind == 6:
            connection.ping()
            do(connection, ident, "INSERT notes", "INSERT INTO notes (v) VALUES ('a') RETURNING v AS %s" % ident)
        else:
            connection.select_db("lab" if k % 16 == 7 else "shop")
            connection.select_db("shop")
            do(connection, ident, "SELECT lab.things", "SELECT v AS %s FROM lab.things" % ident)
    connection.close()


threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
