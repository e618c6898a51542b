-- Three connections at once by LuaSQL.
local environment = require("luasql.postgres").postgres()
local open = {}
for i = 1, 3 do
    open[i] = assert(environment:connect("application_name=roads-" .. i))
end
for i, conn in ipairs(open) do
    local cursor = conn:execute("SELECT " .. i .. " * 7, current_setting('application_name')")
    print(cursor:fetch())
    cursor:close()
    conn:close()
end
