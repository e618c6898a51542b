"""Connects as an application does: in a module, two lines of one function, and a thread."""
import importlib
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from app.db import Pool

driver = importlib.import_module(sys.argv[1])
pool = Pool(driver.connect)


def handle_request():
    return pool.get_conn()


conns = [handle_request()]
conns += pool.two()
thread = threading.Thread(target=handle_request)
thread.start()
thread.join()
for conn in conns + pool.kept:
    conn.close()
