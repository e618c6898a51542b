"""Three connections at once by psycopg 3; PSYCOPG_IMPL says by which implementation."""
import os

import psycopg

assert psycopg.pq.__impl__ == os.environ["PSYCOPG_IMPL"], psycopg.pq.__impl__
open_ones = [psycopg.connect("application_name=roads-%d" % i) for i in range(3)]
for i, conn in enumerate(open_ones):
    print(conn.execute("SELECT %s * 7", [i]).fetchone()[0], conn.execute("SHOW application_name").fetchone()[0])
for conn in open_ones:
    conn.close()
