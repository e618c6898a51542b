<?php
// A connection that the script never closes: PHP does, at the end of the request.
function get_conn()
{
    return pg_connect('dbname=shop user=app');
}

$client = get_conn();
pg_query($client, 'SELECT 1');
