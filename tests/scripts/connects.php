<?php
class Pool {
    static function get() {
        return pg_connect("dbname=shop");
    }
    function pdo() {
        return new PDO("pgsql:dbname=shop");
    }
}
function handle() {
    return [Pool::get(), (new Pool)->pdo()];
}
[$one, $other] = handle();
pg_close($one);
$other = null;
