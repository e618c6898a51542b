"""psycopg 3, blocking: six connections; transactions, pipelines, copies, cursors on the server, stream, errors, a cancel."""
import logging
import os
import subprocess
import threading
import time

import psycopg

# A pipeline that an error ended is sometimes said, and sometimes not.
logging.getLogger("psycopg").setLevel(logging.ERROR)
assert psycopg.pq.__impl__ == os.environ["PSYCOPG_IMPL"], psycopg.pq.__impl__
connections = [psycopg.connect("", autocommit=True, prepare_threshold=None) for _ in range(6)]
connections[0].execute("DELETE FROM copied")

for i, conn in enumerate(connections):
    with conn.transaction():
        print(conn.execute("SELECT %s, %s::int", ("handle %d" % i, i * 7)).fetchall())
    if i == 0:  # what may call nextval keeps its connection
        with conn.cursor() as cursor, cursor.copy("COPY copied FROM STDIN") as copy:
            for j in range(1000):
                copy.write_row((0, "line %d" % j + " and much more" * 50))
    with conn.cursor() as cursor, cursor.copy("COPY (SELECT %s, left(name, 10) FROM copied) TO STDOUT", (i,)) as copy:
        rows = list(copy.rows())
        print("copied:", len(rows), rows[-1])
    with conn.transaction(), conn.cursor("steps") as cursor:
        cursor.itersize = 10
        cursor.execute("SELECT j FROM generate_series(1, 35) j")
        print("by a cursor on the server:", sum(row[0] for row in cursor))
    with conn.cursor() as cursor:
        print("by stream:", sum(row[0] for row in cursor.stream("SELECT j FROM generate_series(1, 100) j")))

for i, conn in enumerate(connections):
    # libpq itself would go on row by row in a pipeline that comes right after.
    conn.execute("SELECT 1")
    with conn.pipeline() as pipeline:
        cursors = [conn.execute("SELECT %s", ("%d/%d" % (i, j),)) for j in range(50)]
        pipeline.sync()
        more = conn.execute("SELECT %s", ("%d after the sync" % i,))
    print(all(cursor.fetchone()[0] == "%d/%d" % (i, j) for j, cursor in enumerate(cursors)), more.fetchone()[0])
    try:
        with conn.pipeline():
            conn.execute("SELECT 1")
            conn.execute("SELECT 1 / 0")
            conn.execute("SELECT 2")
    except psycopg.Error as error:
        print(type(error).__name__, error.sqlstate)
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany("UPDATE kept SET name = %s WHERE owner = %s RETURNING name",
                           [("many %d" % j, i) for j in range(30)], returning=True)
        names = [cursor.fetchone()[0]]
        while cursor.nextset():
            names.append(cursor.fetchone()[0])
        print("executemany:", len(names), names[-1])
    try:
        with conn.transaction():
            conn.execute("UPDATE kept SET name = 'never seen' WHERE owner = %s", (i,))
            with conn.transaction():
                conn.execute("SELECT nothing_of_this_name")
    except psycopg.Error as error:
        print(error.sqlstate, error.diag.message_primary)
    print(conn.execute("SELECT name FROM kept WHERE owner = %s", (i,)).fetchone(), conn.info.transaction_status.name)

subprocess.run([os.environ["BACKENDS"]], check=True)

# A copy that the program gives up, and one that the server refuses.
try:
    with connections[0].cursor() as cursor, cursor.copy("COPY copied FROM STDIN") as copy:
        copy.write_row((1, "never seen"))
        raise KeyError("changed my mind")
except psycopg.errors.QueryCanceled as error:
    print(error.sqlstate, error.diag.message_primary)
try:
    with connections[0].cursor() as cursor, cursor.copy("COPY copied FROM STDIN") as copy:
        copy.write("no number\tname\n")
except psycopg.Error as error:
    print(error.sqlstate)
print(connections[1].execute("SELECT 'goes on'").fetchone())


# Stopped by another thread, while others ask.
def stop():
    time.sleep(0.1)
    connections[2].cancel()


thread = threading.Thread(target=stop)
thread.start()
try:
    connections[2].execute("SELECT pg_sleep(20)")
except psycopg.Error as error:
    print(error.sqlstate)
thread.join()
print(connections[2].execute("SELECT 'and on'").fetchone())
for conn in connections:
    conn.close()
