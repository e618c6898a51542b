<?php
// Forks with a connection and uses it on both sides, one after the other.
$conn = pg_connect('dbname=shop user=app');
pg_query($conn, 'SELECT 1');
$pid = pcntl_fork();
if ($pid == 0) {
    pg_query($conn, 'SELECT 2');
    posix_kill(posix_getpid(), SIGKILL);
}
pcntl_waitpid($pid, $status);
pg_query($conn, 'SELECT 3');
pg_close($conn);
