"""Calls libpq itself, by ctypes, and forgets that a failed connect has to be finished as well."""
import ctypes

libpq = ctypes.CDLL("libpq.so.5")
libpq.PQconnectdb.restype = ctypes.c_void_p
libpq.PQstatus.argtypes = [ctypes.c_void_p]


def is_up():
    return libpq.PQstatus(libpq.PQconnectdb(b"host=/nowhere dbname=shop")) == 0


for _ in range(4):
    assert not is_up()
