<?php
// Killed with a connection open.
function worker()
{
    return pg_connect('dbname=shop user=app');
}

$kept = worker();
posix_kill(posix_getpid(), SIGKILL);
