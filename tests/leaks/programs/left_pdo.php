<?php
// The same with PDO.
class Database
{
    public $pdo;

    public function __construct()
    {
        $this->pdo = new PDO('pgsql:dbname=shop;user=app');
    }
}

$GLOBALS['database'] = new Database();
$GLOBALS['database']->pdo->query('SELECT 1');
