"""A database client at module level, never closed: Python's shutdown does it."""
import psycopg2


def get_conn():
    return psycopg2.connect("dbname=shop user=app")


client = get_conn()
client.cursor().execute("SELECT 1")
client.commit()
