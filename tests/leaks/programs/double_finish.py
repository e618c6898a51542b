"""Finishes a handle twice, by ctypes, and then uses it."""
import ctypes

libpq = ctypes.CDLL("libpq.so.5")
libpq.PQconnectdb.restype = ctypes.c_void_p
libpq.PQfinish.argtypes = libpq.PQstatus.argtypes = [ctypes.c_void_p]


def close(conn):
    libpq.PQfinish(conn)


def look(conn):
    return libpq.PQstatus(conn)


conn = libpq.PQconnectdb(b"dbname=shop user=app")
close(conn)
close(conn)
assert look(conn) == 1
