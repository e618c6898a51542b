"""psycopg 3: one connection listens, by asyncio's loop and by the blocking generator; four others notify."""
import asyncio
import os
import subprocess

import psycopg


async def main():
    listener, *others = await asyncio.gather(
        *[psycopg.AsyncConnection.connect("", autocommit=True, prepare_threshold=None) for _ in range(5)])
    await listener.execute("LISTEN drivers")
    got = []

    async def listen():
        async for notify in listener.notifies():
            got.append((notify.channel, notify.payload, notify.pid > 0))
            if len(got) == 12:
                return

    task = asyncio.create_task(listen())
    for j in range(3):
        for i, conn in enumerate(others):
            await conn.execute("NOTIFY drivers, '%d/%d'" % (i, j))
        await asyncio.sleep(0.01)
    await asyncio.wait_for(task, 20)
    print(sorted(got))
    strangers = []
    for conn in others:
        conn.add_notify_handler(strangers.append)
        await conn.execute("SELECT 1")
    print("others got", strangers)
    subprocess.run([os.environ["BACKENDS"]], check=True)
    for conn in [listener, *others]:
        await conn.close()


asyncio.run(main())

with psycopg.connect("", autocommit=True) as listener, psycopg.connect("", autocommit=True) as other:
    listener.execute("LISTEN drivers")
    other.execute("NOTIFY drivers, 'blocking'")
    for notify in listener.notifies():
        print(notify.channel, notify.payload)
        break
