# Ten clients for one target, all closed in at_exit.
require 'pg'

def route
  PG.connect(dbname: 'shop', user: 'app')
end

clients = Array.new(10) { route }
at_exit { clients.each(&:finish) }
