<?php
// Calls libpq itself, by FFI, and drops the pointers.
$libpq = FFI::cdef('void *PQconnectdb(const char *conninfo);', 'libpq.so.5');

function query($libpq)
{
    return $libpq->PQconnectdb('dbname=shop user=app') !== null;
}

for ($i = 0; $i < 3; $i++) {
    query($libpq);
}
