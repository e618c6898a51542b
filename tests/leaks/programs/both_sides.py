"""Forks with a connection and uses it on both sides, one after the other."""
import os

import psycopg2

connection = psycopg2.connect("dbname=shop user=app")
connection.autocommit = True
cursor = connection.cursor()
cursor.execute("SELECT 1")


def child():
    cursor.execute("SELECT 2")
    os._exit(0)


pid = os.fork()
if pid == 0:
    child()
os.waitpid(pid, 0)
cursor.execute("SELECT 3")
connection.close()
