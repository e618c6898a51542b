"""Three connections at once by ctypes, with each way to open one."""
import ctypes

pq = ctypes.CDLL("libpq.so.5")
for name in "PQconnectdb PQconnectdbParams PQsetdbLogin PQexec".split():
    getattr(pq, name).restype = ctypes.c_void_p
pq.PQgetvalue.restype = ctypes.c_char_p

words = (ctypes.c_char_p * 2)(b"application_name", None)
values = (ctypes.c_char_p * 2)(b"roads", None)
conns = [pq.PQconnectdb(b"application_name=roads"), pq.PQconnectdbParams(words, values, 0),
         pq.PQsetdbLogin(*[None] * 7)]
answers = []
for i, conn in enumerate(conns):
    conn = ctypes.c_void_p(conn)
    assert pq.PQstatus(conn) == 0
    result = ctypes.c_void_p(pq.PQexec(conn, b"SELECT %d * 7" % i))
    answers.append(pq.PQgetvalue(result, 0, 0).decode())
    pq.PQclear(result)
for conn in conns:
    pq.PQfinish(ctypes.c_void_p(conn))
print(" ".join(answers) + "; %d connections" % len(set(conns)))
