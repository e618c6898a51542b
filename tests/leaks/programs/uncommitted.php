<?php
// Writes and closes without commit.
function save()
{
    $conn = pg_connect('dbname=shop user=app');
    pg_query($conn, 'BEGIN');
    pg_query($conn, 'CREATE TABLE never_there (id int)');
    pg_close($conn);
}

save();
