require "pg"
class Pool
  def get_conn
    PG.connect(dbname: "shop")
  end
end
conns = [Pool.new.get_conn]
conns << Thread.new { Pool.new.get_conn }.value
conns.each(&:close)
