"""psycopg 3 and threads: made in one thread and used in another, twelve threads at once, threads that end with theirs open."""
import os
import queue
import subprocess
import threading

import psycopg

wrong = []
done = []


def run(threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"


def work(conn, i, rounds=20):
    for j in range(rounds):
        tag = "%s/%d" % (i, j)
        if j % 4 == 3:
            with conn.transaction():
                first = conn.execute("SELECT %s, pg_sleep(0.001)", (tag,)).fetchone()[0]
                second = conn.execute("SELECT %s", (tag,)).fetchone()[0]
        else:
            first = second = conn.execute("SELECT %s", (tag,)).fetchone()[0]
        if (first, second) != (tag, tag):
            wrong.append((tag, first, second))
        done.append(tag)


def connect():
    return psycopg.connect("", autocommit=True, prepare_threshold=None)


# Made in the main thread, used by others at once.
connections = [connect() for _ in range(12)]
run([threading.Thread(target=work, args=(conn, i)) for i, conn in enumerate(connections)])
print("made by one, used by many:", len(done), wrong)

# Made in other threads that are gone, used here; while some of those that made them made more and left it open.
made = queue.Queue()
run([threading.Thread(target=lambda: [made.put(connect()), made.put(connect())]) for _ in range(6)])
connections += [made.get(timeout=30) for _ in range(12)]
for i, conn in enumerate(connections):
    work(conn, i, 4)
print("made by threads that are gone:", len(done), wrong)

# A thread that ends inside a transaction: the handle lives on, and so does its transaction.
def begin(conn):
    conn.execute("BEGIN")
    conn.execute("UPDATE kept SET name = 'in a thread that is gone' WHERE owner = 50")


run([threading.Thread(target=begin, args=(connections[5],))])
print(connections[6].execute("SELECT name FROM kept WHERE owner = 50").fetchone(),
      connections[5].execute("SELECT name FROM kept WHERE owner = 50").fetchone(),
      connections[5].info.transaction_status.name)
connections[5].execute("ROLLBACK")

# Passed from thread to thread, query by query.
baton = queue.Queue()
for conn in connections[:3]:
    baton.put(conn)


def relay(i):
    for j in range(15):
        conn = baton.get(timeout=30)
        work(conn, "relay %d %d" % (i, j), 1)
        baton.put(conn)


run([threading.Thread(target=relay, args=(i,)) for i in range(8)])
print("passed on:", len(done), wrong)
subprocess.run([os.environ["BACKENDS"]], check=True)
# Not closed: the interpreter's shutdown does it.
