# Calls libpq itself, by FFI, and drops the pointers.
require 'ffi'

module LibPQ
  extend FFI::Library
  ffi_lib 'libpq.so.5'
  attach_function :PQconnectdb, [:string], :pointer
end

def query
  LibPQ.PQconnectdb('dbname=shop user=app').null?
end

3.times { query }
