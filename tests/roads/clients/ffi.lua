-- Three connections at once by LuaJIT's ffi, often enough that the calls are compiled.
local ffi = require "ffi"
ffi.cdef [[
void *PQconnectdb(const char *);
void *PQexec(void *, const char *);
char *PQgetvalue(void *, int, int);
void PQclear(void *);
void PQfinish(void *);
]]
local pq = ffi.load "libpq.so.5"
local open, sum = {}, 0
for i = 1, 3 do
    open[i] = pq.PQconnectdb ""
end
for i = 1, 300 do
    local result = pq.PQexec(open[i % 3 + 1], "SELECT " .. i)
    sum = sum + tonumber(ffi.string(pq.PQgetvalue(result, 0, 0)))
    pq.PQclear(result)
end
for i = 1, 3 do
    pq.PQfinish(open[i])
end
print(sum)
