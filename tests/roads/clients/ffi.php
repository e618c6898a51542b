<?php // Three connections at once by FFI, whose module PHP binds deeply.
$pq = FFI::cdef('void *PQconnectdb(const char *); void *PQexec(void *, const char *); void PQclear(void *);
    char *PQgetvalue(void *, int, int); void PQfinish(void *);', 'libpq.so.5');
$open = [];
for ($i = 0; $i < 3; $i++)
    $open[] = $pq->PQconnectdb('');
foreach ($open as $i => $conn) {
    $result = $pq->PQexec($conn, "SELECT $i * 7");
    echo FFI::string($pq->PQgetvalue($result, 0, 0)), "\n";
    $pq->PQclear($result);
    $pq->PQfinish($conn);
}
