"""psycopg2's asynchronous mode: twelve connections in one loop over select.poll, or select.select with that argument."""
import os
import select
import subprocess
import sys

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE

ROUNDS = 8


class Task:
    """One connection: connects, then asks ROUNDS questions, and checks each answer."""

    def __init__(self, number):
        self.number = number
        self.asked = 0
        self.right = 0
        self.errors = 0
        self.cursor = None
        self.conn = psycopg2.connect("", async_=1)

    def ask(self):
        """The next question; False after the last."""
        if self.asked == ROUNDS:
            return False
        self.cursor = self.cursor or self.conn.cursor()
        self.tag = "%d/%d" % (self.number, self.asked)
        self.asked += 1
        if self.asked == 3:
            self.cursor.execute("SELECT 1 / 0")
        elif self.asked == 5:
            self.cursor.execute("BEGIN; UPDATE kept SET name = %s WHERE owner = %s; ROLLBACK; SELECT %s", (self.tag, self.number, self.tag))
        elif self.asked == 6:
            self.cursor.execute("SELECT repeat(%s, 100000)", (self.tag,))
        else:
            self.cursor.execute("SELECT %s, pg_sleep(0.005)", (self.tag,))
        return True

    def step(self):
        """What to wait for: POLL_READ or POLL_WRITE; POLL_OK when there is nothing left to do."""
        try:
            state = self.conn.poll()
        except psycopg2.Error as error:
            self.errors += error.pgcode == "22012"
            return self.step() if self.ask() else POLL_OK
        if state != POLL_OK:
            return state
        if self.cursor is not None:
            answer = self.cursor.fetchone()[0]
            self.right += answer == (self.tag * 100000 if self.asked == 6 else self.tag)
        return self.step() if self.ask() else POLL_OK


def loop(tasks):
    waiting = {}
    for task in tasks:
        waiting[task] = task.step()
    while any(state != POLL_OK for state in waiting.values()):
        by_number = {task.conn.fileno(): task for task, state in waiting.items() if state != POLL_OK}
        read = [n for n, task in by_number.items() if waiting[task] == POLL_READ]
        write = [n for n, task in by_number.items() if waiting[task] == POLL_WRITE]
        if sys.argv[1:] == ["select"]:
            ready_to_read, ready_to_write, _ = select.select(read, write, [], 20)
            ready = ready_to_read + ready_to_write
        else:
            poller = select.poll()
            for n in read:
                poller.register(n, select.POLLIN)
            for n in write:
                poller.register(n, select.POLLOUT)
            ready = [n for n, _ in poller.poll(20000)]
        assert ready, "nothing became ready in 20 s"
        for n in ready:
            waiting[by_number[n]] = by_number[n].step()


tasks = [Task(i) for i in range(12)]
numbers = {task.conn.fileno() for task in tasks}
loop(tasks)
print("as many descriptors as connections:", len(numbers) == len(tasks))
print("the same descriptors after it:", {task.conn.fileno() for task in tasks} == numbers)
print([(task.right, task.errors) for task in tasks])
subprocess.run([os.environ["BACKENDS"]], check=True)

# A query that is stopped while it runs.
cursor = tasks[0].cursor
cursor.execute("SELECT pg_sleep(20)")
tasks[0].conn.poll()
select.select([], [], [], 0.05)
tasks[0].conn.cancel()
try:
    while tasks[0].conn.poll() != POLL_OK:
        select.select([tasks[0].conn], [], [], 20)
except psycopg2.Error as error:
    print(error.pgcode)
for task in tasks:
    task.conn.close()
