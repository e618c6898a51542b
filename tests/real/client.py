"""A psycopg2 program: a connection per request, threads, cursors, COPY, notifications, cancels, errors."""
import io
import threading

import psycopg2
import psycopg2.errorcodes
import psycopg2.extensions
import psycopg2.pool

DSN = "dbname=shop user=app"


def requests(count):
    answers = []
    for number in range(count):
        connection = psycopg2.connect(DSN)
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::int * 2", (number,))
            answers.append(cursor.fetchone()[0])
        connection.close()
    return answers


print("requests", requests(10))

results = {}


def worker(number):
    results[number] = requests(5)


threads = [threading.Thread(target=worker, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("threads", sorted(results.items()))

one, two = psycopg2.connect(DSN), psycopg2.connect(DSN)
first, second = one.cursor(), two.cursor()
first.execute("DROP TABLE IF EXISTS py_item; CREATE TABLE py_item (id serial PRIMARY KEY, name text)")
one.commit()
first.execute("INSERT INTO py_item (name) VALUES ('first') RETURNING id")
print("inserted", first.fetchone())
second.execute("INSERT INTO py_item (name) VALUES ('second') RETURNING id")
print("inserted", second.fetchone())
one.rollback()
two.commit()
first.execute("SELECT name FROM py_item ORDER BY id")
print("left", first.fetchall())

first.execute("SET search_path = pg_catalog")
one.commit()
second.execute("SHOW search_path")
print("others path", second.fetchone())
first.execute("SHOW search_path")
print("own path", first.fetchone())
two.commit()

try:
    second.execute("SELECT 1/0")
except psycopg2.Error as error:
    print("error", error.pgcode, error.diag.message_primary)
print("status", two.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_INERROR,
      one.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_INTRANS)
two.rollback()

second.copy_from(io.StringIO("10\tten\n11\televen\n"), "py_item", columns=("id", "name"))
two.commit()
out = io.StringIO()
second.copy_expert("COPY (SELECT * FROM public.py_item WHERE id >= 10 ORDER BY id) TO STDOUT", out)
print("copied", out.getvalue().split())
two.commit()

named = two.cursor("large", withhold=False)
named.itersize = 100
named.execute("SELECT generate_series(1, 1000)")
print("server-side cursor", sum(row[0] for row in named))
two.commit()

listener = psycopg2.connect(DSN)
listener.autocommit = True
listener.cursor().execute("LISTEN py_news")
second.execute("NOTIFY py_news, 'hello'")
two.commit()
for _ in range(100):
    listener.poll()
    if listener.notifies:
        break
    threading.Event().wait(0.02)
print("notified", [(notify.channel, notify.payload) for notify in listener.notifies])
print("notices", len(listener.notices))

canceller = threading.Timer(0.3, two.cancel)
canceller.start()
try:
    second.execute("SELECT pg_sleep(10)")
except psycopg2.extensions.QueryCanceledError as error:
    print("cancelled", error.pgcode)
two.rollback()

two.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_SERIALIZABLE)
second.execute("SHOW transaction_isolation")
print("isolation", second.fetchone())
two.rollback()
three = psycopg2.connect(DSN)
third = three.cursor()
third.execute("SHOW transaction_isolation")
print("isolation of another", third.fetchone())

large = three.lobject(0, "wb")
large.write(b"large object")
large.seek(0)
number = large.oid
large.close()
print("large object", three.lobject(number, "rb").read())
three.lobject(number).unlink()
three.commit()

pool = psycopg2.pool.ThreadedConnectionPool(2, 6, DSN)
held = [pool.getconn() for _ in range(6)]
for index, connection in enumerate(held):
    connection.cursor().execute("SELECT %s", (index,))
print("pool", len({id(connection) for connection in held}))
for connection in held:
    pool.putconn(connection)
pool.closeall()

print("encoding", three.encoding, one.info.dbname, one.info.user)
try:
    psycopg2.connect("dbname=no_such_database user=app")
except psycopg2.OperationalError as error:
    print("refused", "does not exist" in str(error))
for connection in (one, two, three, listener):
    connection.close()
forgotten = psycopg2.connect(DSN)
forgotten.cursor().execute("SELECT 1")
print("done")
