<?php // Three connections at once by PDO.
$open = [];
for ($i = 0; $i < 3; $i++)
    $open[] = new PDO("pgsql:application_name=roads-$i");
foreach ($open as $i => $conn) {
    $statement = $conn->prepare("SELECT ? * 7, current_setting('application_name')");
    $statement->execute([$i]);
    echo join(' ', $statement->fetch(PDO::FETCH_NUM)), "\n";
}
