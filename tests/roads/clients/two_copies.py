"""Two copies of libpq, both by ctypes, in turns: which copy made the connection, the server says."""
import ctypes
import sys


def load(name):
    pq = ctypes.CDLL("%s/%s" % (sys.argv[1], name))
    pq.PQconnectdb.restype = pq.PQexec.restype = pq.PQmakeEmptyPGresult.restype = ctypes.c_void_p
    pq.PQgetvalue.restype = ctypes.c_char_p
    return pq


def ask(pq, conn):
    result = ctypes.c_void_p(pq.PQexec(conn, b"SELECT current_setting('application_name')"))
    answer = pq.PQgetvalue(result, 0, 0).decode()
    pq.PQclear(result)
    empty = ctypes.c_void_p(pq.PQmakeEmptyPGresult(None, 2))
    assert pq.PQresultStatus(empty) == 2
    pq.PQclear(empty)
    return answer


copies = [load("libpq.so.5"), load("libpq2.so5")]
conns = [(pq, ctypes.c_void_p(pq.PQconnectdb(b""))) for pq in copies * 2]
for _ in range(3):
    print(*[ask(pq, conn) for pq, conn in conns], *[pq.PQping(b"") for pq, _ in conns])
for pq, conn in conns:
    pq.PQfinish(conn)
