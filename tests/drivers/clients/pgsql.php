<?php
// PHP's pgsql: eight connections; blocking, asynchronous with stream_select on pg_socket, connecting asynchronously, copies.
function open(int $flags = 0) {
    $conn = pg_connect('', PGSQL_CONNECT_FORCE_NEW | $flags) or die("no connection\n");
    return $conn;
}
// Waits as pg_connect_poll says, for all of them in one loop.
function connect_all(array $connections): void {
    $waiting = $connections;
    while ($waiting) {
        $read = $write = $except = [];
        foreach ($waiting as $i => $conn) {
            switch (pg_connect_poll($conn)) {
                case PGSQL_POLLING_OK: unset($waiting[$i]); break;
                case PGSQL_POLLING_FAILED: die('failed: ' . pg_last_error($conn) . "\n");
                case PGSQL_POLLING_READING: $read[] = pg_socket($conn); break;
                case PGSQL_POLLING_WRITING: $write[] = pg_socket($conn); break;
            }
        }
        if (($read || $write) && !stream_select($read, $write, $except, 20)) die("nothing became ready in 20 s\n");
    }
}
$connections = [];
for ($i = 0; $i < 4; $i++) $connections[] = open();
for ($i = 0; $i < 4; $i++) $connections[] = open(PGSQL_CONNECT_ASYNC);
connect_all(array_slice($connections, 4));
pg_query($connections[0], 'DELETE FROM copied');

foreach ($connections as $i => $conn) {
    echo json_encode(pg_fetch_all(pg_query_params($conn, 'SELECT $1::text AS name, $2::int AS n', ["handle $i", $i * 7]))), "\n";
    pg_query($conn, 'BEGIN');
    if ($i === 0) { // what may call nextval keeps its connection
        pg_copy_from($conn, 'copied', array_map(fn($j) => "0\tline $j\n", range(1, 500)));
        echo count(pg_copy_to($conn, 'copied')), "\n";
    }
    pg_query_params($conn, 'UPDATE kept SET name = $2 WHERE owner = $1', [$i, "by $i"]);
    pg_query($conn, 'COMMIT');
    $rows = pg_fetch_all(pg_query_params($conn, 'SELECT name FROM kept WHERE owner = $1', [$i]));
    echo json_encode($rows), ' ', @pg_query($conn, 'SELECT 1 / 0') === false ? pg_last_error($conn) : 'no error', "\n";
}

// All at once: sent, waited for by stream_select, fetched.
$right = 0;
for ($round = 0; $round < 6; $round++) {
    $waiting = [];
    foreach ($connections as $i => $conn) {
        pg_send_query_params($conn, 'SELECT $1::text, pg_sleep(0.004)', ["$i/$round"]) or die("not sent\n");
        $waiting[$i] = pg_socket($conn);
    }
    while ($waiting) {
        $read = $waiting;
        $write = $except = [];
        if (!stream_select($read, $write, $except, 20)) die("nothing became ready in 20 s\n");
        foreach (array_keys($read) as $i) {
            pg_consume_input($connections[$i]);
            if (pg_connection_busy($connections[$i])) continue;
            while ($result = pg_get_result($connections[$i])) $right += pg_fetch_result($result, 0, 0) === "$i/$round";
            unset($waiting[$i]);
        }
    }
}
echo "at once: $right\n";
pg_send_query($connections[2], "SELECT 'one'; SELECT 'two'; SELECT 1 / 0");
while ($result = pg_get_result($connections[2])) {
    echo pg_result_error_field($result, PGSQL_DIAG_SQLSTATE) ?? pg_fetch_result($result, 0, 0), "\n";
}
pg_send_query($connections[3], 'SELECT pg_sleep(20)');
var_dump(pg_cancel_query($connections[3]), pg_connection_busy($connections[3]));
echo pg_fetch_result(pg_query($connections[3], "SELECT 'goes on'"), 0, 0), "\n";
system(getenv('BACKENDS'), $status);
if ($status) die("could not count\n");
foreach ($connections as $conn) pg_close($conn);
