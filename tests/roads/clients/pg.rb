# Three connections at once by ruby-pg.
require 'pg'

open = Array.new(3) { |i| PG.connect("application_name=roads-#{i}") }
open.each_with_index do |conn, i|
  puts conn.exec_params("SELECT $1::int * 7, current_setting('application_name')", [i]).values.inspect
end
open.each(&:close)
