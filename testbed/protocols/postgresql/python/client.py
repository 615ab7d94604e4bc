# SPDX-License-Identifier: Apache-2.0
"""Runs queries with psycopg 3 (also in pipeline mode) and psycopg2, and prints a line per
operation: marker, rows (-1: not to be compared), SQLSTATE or "-". Cases are the
arguments, KIND:DEPTH:OPERATIONS."""
import sys
import time

import psycopg
import psycopg2

conninfo, cases = sys.argv[1], sys.argv[2:]
connections = []


def report(marker, rows, code="-"):
    print(marker, rows, code)


def text(marker, i, placeholder):
    """The i-th query of a case, with its parameters."""
    if i % 8 == 5:
        return f"SELECT 1/(g-1) AS {marker} FROM generate_series(1,3) g", ()
    if i % 8 == 6:
        return f"SELECT g AS {marker} FROM generate_series(1, {placeholder}::int) g", (i % 5,)
    return f"SELECT g, 'secret' AS {marker} FROM generate_series(1, {i % 7}) g", ()


def each(connection, name, operations, errors):
    for i in range(operations):
        marker = f"{name}_{i}"
        query, parameters = text(marker, i, "%s")
        cursor = connection.cursor()
        try:
            cursor.execute(query, parameters or None)
            report(marker, len(cursor.fetchall()))
        except errors as e:
            report(marker, -1, getattr(e, "sqlstate", None) or e.pgcode)


for case in cases:
    kind, depth, operations = case.split(":")
    depth, operations = int(depth), int(operations)
    name = f"op_py_{kind}_{depth}"
    if kind == "psycopg2":
        connection = psycopg2.connect(conninfo)
        connection.autocommit = True
        connections.append(connection)
        each(connection, name, operations, psycopg2.Error)
        continue
    connection = psycopg.connect(conninfo, autocommit=True)
    connections.append(connection)
    if kind == "plain":
        each(connection, name, operations, psycopg.Error)
    elif kind == "transaction":
        connection.autocommit = False
        for i in range(operations):
            marker = f"{name}_{i}"
            connection.execute(f"SELECT 1 AS {marker}").fetchall()
            report(marker, 1)
            connection.commit()
            report("BEGIN", -1)
            report("COMMIT", -1)
    elif kind == "pipeline":
        for at in range(0, operations, depth):
            with connection.pipeline():
                cursors = []
                for i in range(at, at + depth):
                    cursor = connection.cursor()
                    cursor.execute(f"SELECT g AS {name}_{i} FROM generate_series(1, %s::int) g", (i % 5,), prepare=False)
                    cursors.append(cursor)
                for i, cursor in enumerate(cursors, at):
                    report(f"{name}_{i}", len(cursor.fetchall()))
    elif kind == "prepared":
        # The same statement again and again.
        for i in range(operations):
            rows = connection.execute(f"SELECT g AS {name}_same FROM generate_series(1, %s::int) g", (3,), prepare=True).fetchall()
            report(f"{name}_same", len(rows))
    elif kind == "aborted":
        # The second fails, the third is not even looked at.
        for i in range(operations):
            try:
                with connection.pipeline() as pipeline:
                    connection.execute(f"SELECT 1 AS {name}_{i}_a", prepare=False)
                    connection.execute(f"SELECT 1/0 AS {name}_{i}_b", prepare=False)
                    connection.execute(f"SELECT 1 AS {name}_{i}_c", prepare=False)
                    pipeline.sync()
            except psycopg.Error:
                pass
            report(f"{name}_{i}_a", 1)
            report(f"{name}_{i}_b", -1, "22012")
            report(f"{name}_{i}_c", -1, "pipeline_aborted")
    elif kind == "cursor":
        # A cursor on the server's side.
        for i in range(operations):
            with connection.transaction():
                cursor = connection.cursor(name=f"cursor{i}")
                cursor.execute(f"SELECT g AS {name}_{i} FROM generate_series(1, 25) g")
                cursor.itersize = 10
                list(cursor)
                cursor.close()
            report(f"{name}_{i}", -1)
            for statement in ("BEGIN", "COMMIT", "CLOSE", "FETCH", "FETCH", "FETCH"):
                report(statement, -1)

# The server's processes have to live until the collector has looked at them.
time.sleep(0.3)
for connection in connections:
    connection.close()
