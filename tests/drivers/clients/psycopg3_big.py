"""psycopg 3 with asyncio: fifty connections, five hundred questions at once, each answer checked.

By the question's number: most are plain, some sleep, some are transactions, errors, or are cancelled.
"""
import asyncio
import collections
import os
import subprocess

import psycopg

CONNECTIONS, QUESTIONS = 50, 500


async def answer(conn, text, tag, *more):
    cursor = await conn.execute(text, (tag, *more))
    return (await cursor.fetchone())[0]


async def ask(conn, lock, n):
    """What came of question n: its kind, and whether the answer was right."""
    tag = "handle %d, question %d" % (n % CONNECTIONS, n)
    kind = n // CONNECTIONS
    async with lock:
        if kind in (1, 2):
            return "slept", await answer(conn, "SELECT %s, pg_sleep(%s)", tag, 0.010 + n % 5 * 0.010) == tag
        if kind == 3:
            async with conn.transaction():
                first = await answer(conn, "SELECT %s", tag)
                await asyncio.sleep(0.001 * (n % 7))
                return "transaction", (first, await answer(conn, "SELECT %s", tag)) == (tag, tag)
        if kind == 4:
            try:
                return "error", await answer(conn, "SELECT %s, 1 / 0", tag)
            except psycopg.errors.DivisionByZero:
                return "error", await answer(conn, "SELECT %s", tag) == tag
        if kind == 5 and n % 5 == 0:
            asyncio.get_running_loop().call_later(0.01, conn.cancel)
            try:
                return "cancelled", await answer(conn, "SELECT %s, pg_sleep(20)", tag)
            except psycopg.errors.QueryCanceled:
                return "cancelled", await answer(conn, "SELECT %s", tag) == tag
        if kind == 6:
            return "wide", await answer(conn, "SELECT repeat(%s, 2000)", tag) == tag * 2000
        return "plain", await answer(conn, "SELECT %s", tag) == tag


async def main():
    connections = await asyncio.gather(
        *[psycopg.AsyncConnection.connect("", autocommit=True, prepare_threshold=None) for _ in range(CONNECTIONS)])
    locks = [asyncio.Lock() for _ in connections]
    came = await asyncio.gather(
        *[ask(connections[n % CONNECTIONS], locks[n % CONNECTIONS], n) for n in range(QUESTIONS)])
    subprocess.run([os.environ["BACKENDS"]], check=True)
    print(sorted(collections.Counter(came).items()))
    for conn in connections:
        await conn.close()


asyncio.run(main())
