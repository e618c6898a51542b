<?php // Three connections at once by the pgsql extension.
$open = [];
for ($i = 0; $i < 3; $i++)
    $open[] = pg_connect("application_name=roads-$i");
foreach ($open as $i => $conn)
    echo pg_fetch_result(pg_query_params($conn, 'SELECT $1::int * 7', [$i]), 0, 0), ' ',
        pg_parameter_status($conn, 'application_name'), "\n";
foreach ($open as $conn)
    pg_close($conn);
