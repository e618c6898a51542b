"""psycopg2, blocking: six connections, each with transactions, copies, a named cursor, errors and a notice."""
import io
import os
import subprocess

import psycopg2
import psycopg2.extensions

connections = [psycopg2.connect("") for _ in range(6)]
with connections[0], connections[0].cursor() as cursor:
    cursor.execute("DELETE FROM copied")

for i, conn in enumerate(connections):
    with conn, conn.cursor() as cursor:
        cursor.execute("SELECT %s, %s", ("handle %d" % i, i * 7))
        print(cursor.fetchall())
    if i == 0:  # what may call nextval keeps its connection
        with conn, conn.cursor() as cursor:
            cursor.copy_expert("COPY copied FROM STDIN", io.StringIO("".join("0\tline %d\n" % j for j in range(2000))))
    with conn, conn.cursor() as cursor:
        out = io.StringIO()
        cursor.copy_expert("COPY (SELECT %d, name FROM copied) TO STDOUT" % i, out)
        print("copied as sent:", out.getvalue() == "".join("%d\tline %d\n" % (i, j) for j in range(2000)))
    with conn, conn.cursor("steps") as cursor:
        cursor.itersize = 10
        cursor.execute("SELECT j FROM generate_series(1, 35) j")
        print("by a named cursor:", sum(row[0] for row in cursor), cursor.rownumber)

for i, conn in enumerate(connections):
    try:
        with conn, conn.cursor() as cursor:
            cursor.execute("UPDATE kept SET name = 'never seen' WHERE owner = %s", (i,))
            cursor.execute("SELECT 1 / 0")
    except psycopg2.Error as error:
        print(error.pgcode, str(error).strip(), error.diag.severity)
    with conn.cursor() as cursor:
        cursor.execute("SELECT name FROM kept WHERE owner = %s", (i,))
        print(cursor.fetchone(), conn.status == psycopg2.extensions.STATUS_BEGIN)
    conn.rollback()
    conn.autocommit = True
    with conn.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS nothing_of_this_name_%s" % i)
        cursor.execute("SHOW server_version_num")
    print([notice.strip() for notice in conn.notices], conn.info.transaction_status, conn.encoding)

subprocess.run([os.environ["BACKENDS"]], check=True)
for conn in connections:
    conn.close()
print(connections[3].closed)
