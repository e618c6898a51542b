"""Calls libpq itself, by ctypes, and drops the pointers."""
import ctypes

libpq = ctypes.CDLL("libpq.so.5")
libpq.PQconnectdb.restype = ctypes.c_void_p


def query():
    return libpq.PQconnectdb(b"dbname=shop user=app") is not None


for _ in range(3):
    query()
