"""psycopg 3 as it comes: what was asked five times it prepares on the server."""
import os
import subprocess

import psycopg

connections = [psycopg.connect("", autocommit=True) for _ in range(4)]
for round_ in range(8):
    for i, conn in enumerate(connections):
        print(conn.execute("SELECT %s, %s::int", ("handle %d" % i, round_)).fetchone())
for i, conn in enumerate(connections):
    print(conn.execute("SELECT %s::text", (i,), prepare=True).fetchone())
subprocess.run([os.environ["BACKENDS"]], check=True)
for conn in connections:
    conn.close()
