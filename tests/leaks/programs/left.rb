# A database client in a global, never closed: Ruby's shutdown does it.
require 'pg'

def get_conn
  PG.connect(dbname: 'shop', user: 'app')
end

$client = get_conn
$client.exec('SELECT 1')
