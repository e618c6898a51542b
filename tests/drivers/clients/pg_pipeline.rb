# ruby-pg's pipeline mode: four connections, the answers of each in its order, an error in the middle.
require 'pg'

connections = Array.new(4) { PG.connect(host: ENV['PGHOST']) }
connections.each(&:enter_pipeline_mode)
connections.each_with_index do |conn, i|
  20.times { |j| conn.send_query_params(j == 12 ? 'SELECT 1 / 0, $1::text' : 'SELECT $1::text', ["#{i}/#{j}"]) }
  conn.pipeline_sync
end
connections.each_with_index do |conn, i|
  came = []
  loop do
    result = conn.get_result
    next if result.nil?
    break if result.result_status == PG::PGRES_PIPELINE_SYNC

    came << (result.result_status == PG::PGRES_TUPLES_OK ? result.getvalue(0, 0) == "#{i}/#{came.size}" : result.error_field(PG::PG_DIAG_SQLSTATE) || 'skipped')
  end
  conn.get_result
  p came
  conn.exit_pipeline_mode
end
p(connections.map { |conn| conn.exec("SELECT 'after'").getvalue(0, 0) })
system(ENV['BACKENDS']) || raise('could not count')
connections.each(&:finish)
