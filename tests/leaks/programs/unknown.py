"""A worker that leaves by os._exit with its connections open, as multiprocessing's do."""
import os

import psycopg2


def worker():
    kept = [psycopg2.connect("dbname=shop user=app") for _ in range(2)]
    os._exit(0 if kept else 1)


worker()
