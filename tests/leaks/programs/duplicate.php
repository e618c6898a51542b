<?php
// Five clients for one target, closed again.
function route()
{
    return pg_connect('dbname=shop user=app', PGSQL_CONNECT_FORCE_NEW);
}

$clients = [];
for ($i = 0; $i < 5; $i++) {
    $clients[] = route();
}
foreach ($clients as $client) {
    pg_close($client);
}
