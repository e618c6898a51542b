"""psycopg 3 with asyncio: twelve connections made at once and used at once, of every kind of exchange."""
import asyncio
import logging
import os
import subprocess
import sys

import psycopg

# A pipeline that an error ended is sometimes said, and sometimes not.
logging.getLogger("psycopg").setLevel(logging.ERROR)
assert psycopg.pq.__impl__ == os.environ["PSYCOPG_IMPL"], psycopg.pq.__impl__
N = 12
# What may call nextval keeps its connection, so with one for all there is none of it.
copies_in = sys.argv[1:] != ["no-copy-in"]


async def aenumerate(rows):
    j = 0
    async for row in rows:
        yield j, row
        j += 1


async def plain(conn, i):
    right = 0
    for j in range(10):
        cursor = await conn.execute("SELECT %s, pg_sleep(%s)", ("%d/%d" % (i, j), 0.001 * (i % 3)))
        right += (await cursor.fetchone())[0] == "%d/%d" % (i, j)
    return right


async def transaction(conn, i):
    right = 0
    for j in range(5):
        async with conn.transaction():
            await conn.execute("UPDATE kept SET name = %s WHERE owner = %s", ("t%d" % j, i))
            await conn.execute("SELECT pg_sleep(0.002)")
            cursor = await conn.execute("SELECT owner, name FROM kept WHERE owner = %s", (i,))
            right += await cursor.fetchone() == (i, "t%d" % j)
    return right


async def pipeline(conn, i):
    async with conn.pipeline():
        cursors = [await conn.execute("SELECT %s", ("%d/%d" % (i, j),)) for j in range(100)]
    return sum([(await cursor.fetchone())[0] == "%d/%d" % (i, j) for j, cursor in enumerate(cursors)])


async def copies(conn, i):
    async with conn.cursor() as cursor:
        if i == 0 and copies_in:
            async with cursor.copy("COPY copied FROM STDIN") as copy:
                for j in range(1000):
                    await copy.write_row((0, "line %d of %s" % (j, "x" * 2000)))
        async with cursor.copy("COPY (SELECT %s, j FROM generate_series(1, 500) j) TO STDOUT", (i,)) as copy:
            return sum([row == (str(i), str(j + 1)) async for j, row in aenumerate(copy.rows())])


async def streams(conn, i):
    right = 0
    async with conn.cursor() as cursor:
        async for row in cursor.stream("SELECT %s, j FROM generate_series(1, 200) j", ("s%d" % i,)):
            right += row[0] == "s%d" % i
    async with conn.transaction(), conn.cursor("steps") as cursor:
        cursor.itersize = 20
        await cursor.execute("SELECT %s, j FROM generate_series(1, 90) j", ("c%d" % i,))
        async for row in cursor:
            right += row[0] == "c%d" % i
    return right


async def errors(conn, i):
    right = 0
    for j in range(5):
        try:
            await conn.execute("SELECT 1 / %s", (0,))
        except psycopg.errors.DivisionByZero:
            right += 1
        try:
            async with conn.pipeline():
                await conn.execute("SELECT %s", (i,))
                await conn.execute("SELECT nothing_of_this_name")
        except psycopg.errors.UndefinedColumn:
            right += 1
        cursor = await conn.execute("SELECT %s", ("e%d" % i,))
        right += (await cursor.fetchone())[0] == "e%d" % i
    return right


async def cancelled(conn, i):
    """Stopped while it runs, or while it waits for a connection; and a task that is cancelled, which stops its query."""
    task = asyncio.create_task(conn.execute("SELECT pg_sleep(20)"))
    await asyncio.sleep(0.05)
    conn.cancel()
    try:
        await task
    except psycopg.errors.QueryCanceled:
        cursor = await conn.execute("SELECT %s", ("x%d" % i,))
        return (await cursor.fetchone())[0]
    return "was not cancelled"


async def main():
    connections = await asyncio.gather(
        *[psycopg.AsyncConnection.connect("", autocommit=True, prepare_threshold=None) for _ in range(N)])
    print("descriptors:", len({conn.fileno() for conn in connections}))
    for kind in plain, transaction, pipeline, copies, streams, errors, cancelled:
        print(kind.__name__, await asyncio.gather(*[kind(conn, i) for i, conn in enumerate(connections)]))
    kinds = [plain, transaction, pipeline, copies, streams, errors, cancelled]
    print("together", await asyncio.gather(*[kinds[i % len(kinds)](conn, i) for i, conn in enumerate(connections)]))
    print("descriptors:", len({conn.fileno() for conn in connections}))
    subprocess.run([os.environ["BACKENDS"]], check=True)
    for conn in connections:
        await conn.close()


asyncio.run(main())
