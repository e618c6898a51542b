# Writes and closes without commit.
require 'pg'

def save
  conn = PG.connect(dbname: 'shop', user: 'app')
  conn.exec('BEGIN')
  conn.exec('CREATE TABLE never_there (id int)')
  conn.finish
end

save
