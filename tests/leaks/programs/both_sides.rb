# Forks with a connection and uses it on both sides, one after the other.
require 'pg'

$conn = PG.connect(dbname: 'shop', user: 'app')
$conn.exec('SELECT 1')
pid = fork do
  $conn.exec('SELECT 2')
  exit!(0)
end
Process.wait(pid)
$conn.exec('SELECT 3')
$conn.finish
