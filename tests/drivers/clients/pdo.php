<?php
// PDO: six connections; transactions, copies, errors, with statements prepared here, or on the server with that argument.
$options = [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_EMULATE_PREPARES => ($argv[1] ?? '') !== 'server'];
$connections = array_map(fn() => new PDO('pgsql:', null, null, $options), range(1, 6));
$connections[0]->exec('DELETE FROM copied');
foreach ($connections as $i => $pdo) {
    $asked = $pdo->prepare('SELECT CAST(? AS text), CAST(? AS int) * 7');
    foreach ([1, 2] as $j) {
        $asked->execute(["handle $i.$j", $i]);
        echo json_encode($asked->fetchAll(PDO::FETCH_NUM)), "\n";
    }
    if ($i === 0) { // what may call nextval keeps its connection
        $pdo->beginTransaction();
        $pdo->pgsqlCopyFromArray('copied', array_map(fn($j) => "0\tline $j", range(1, 500)));
        $pdo->commit();
        echo count($pdo->pgsqlCopyToArray('copied')), "\n";
    }
    try {
        $pdo->beginTransaction();
        $pdo->exec("UPDATE kept SET name = 'never seen' WHERE owner = $i");
        $pdo->query('SELECT 1 / 0');
    } catch (PDOException $error) {
        echo $error->getCode(), ' ', $error->getMessage(), "\n";
        $pdo->rollBack();
    }
    echo $pdo->query("SELECT name FROM kept WHERE owner = $i")->fetchColumn(), "\n";
    foreach ($pdo->query('SELECT j FROM generate_series(1, 3) j', PDO::FETCH_NUM) as $row) echo $row[0], ' ';
    echo $pdo->inTransaction() ? 'inside' : 'outside', "\n";
}
system(getenv('BACKENDS'), $status);
if ($status) die("could not count\n");
