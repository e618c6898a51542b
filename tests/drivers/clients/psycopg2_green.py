"""psycopg2 with a wait callback, as gevent and eventlet use it: blocking calls that wait in our select."""
import os
import select
import subprocess
import threading

import psycopg2
import psycopg2.extensions

waits = {"read": 0, "write": 0}


def wait(conn):
    while True:
        state = conn.poll()
        if state == psycopg2.extensions.POLL_OK:
            return
        if state == psycopg2.extensions.POLL_READ:
            waits["read"] += 1
            assert select.select([conn.fileno()], [], [], 20)[0]
        else:
            waits["write"] += 1
            assert select.select([], [conn.fileno()], [], 20)[1]


psycopg2.extensions.set_wait_callback(wait)
connections = [psycopg2.connect("") for _ in range(6)]
for round_ in range(3):
    for i, conn in enumerate(connections):
        with conn, conn.cursor() as cursor:
            cursor.execute("SELECT %s, pg_sleep(0.002)", ("%d/%d" % (i, round_),))
            print(cursor.fetchone()[0], end=" ")
print()
for conn in connections:
    try:
        with conn, conn.cursor() as cursor:
            cursor.execute("SELECT nothing_of_this_name")
    except psycopg2.Error as error:
        print(error.pgcode)
subprocess.run([os.environ["BACKENDS"]], check=True)

# Green connections used by threads at once.
answers = {}


def work(i):
    with connections[i] as conn, conn.cursor() as cursor:
        for j in range(20):
            cursor.execute("SELECT %s, pg_sleep(0.001)", ("%d-%d" % (i, j),))
            answers[i, j] = cursor.fetchone()[0]


threads = [threading.Thread(target=work, args=(i,)) for i in range(len(connections))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(answers), all(answer == "%d-%d" % key for key, answer in answers.items()))
print("waited for reading:", waits["read"] > 0)
for conn in connections:
    conn.close()
