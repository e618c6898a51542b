# Three connections at once by Ruby's FFI.
require 'ffi'

module PQ
  extend FFI::Library
  ffi_lib 'libpq.so.5'
  attach_function :PQconnectdb, [:string], :pointer
  attach_function :PQexec, %i[pointer string], :pointer
  attach_function :PQgetvalue, %i[pointer int int], :string
  attach_function :PQclear, [:pointer], :void
  attach_function :PQfinish, [:pointer], :void
end

open = Array.new(3) { PQ.PQconnectdb('') }
open.each_with_index do |conn, i|
  result = PQ.PQexec(conn, "SELECT #{i} * 7")
  puts PQ.PQgetvalue(result, 0, 0)
  PQ.PQclear(result)
end
open.each { |conn| PQ.PQfinish(conn) }
