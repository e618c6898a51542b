# ruby-pg: eight connections; async_exec, results row by row, copies, errors, a cancel, waits on socket_io.
require 'pg'

connections = Array.new(8) { PG.connect(host: ENV['PGHOST']) }
puts "descriptors: #{connections.map(&:socket).uniq.size} #{connections.map { |c| c.socket_io.fileno }.uniq.size}"
# Where they are, and with what words: as without the shim, and the same of all.
words = connections.map { |c| c.conninfo_hash.compact.reject { |_, value| value.empty? } }
p [words.uniq.size, words[0].except(:host, :port, :application_name)]
puts "peers: #{connections.map { |c| c.socket_io.remote_address.unix_path }.uniq.map { |path| path == "#{ENV['PGHOST']}/.s.PGSQL.#{ENV['PGPORT']}" }}"
connections[0].exec('DELETE FROM copied')

connections.each_with_index do |conn, i|
  p conn.async_exec_params('SELECT $1::text, $2::int', ["handle #{i}", i * 7]).values
  if i.zero? # what may call nextval keeps its connection
    conn.transaction do |inside|
      inside.copy_data('COPY copied FROM STDIN') do
        2000.times { |j| inside.put_copy_data("0\tline #{j}\n") }
      end
    end
  end
  lines = 0
  conn.copy_data("COPY (SELECT #{i}, name FROM copied) TO STDOUT") do
    while (row = conn.get_copy_data)
      lines += 1 if row.start_with?("#{i}\tline ")
    end
  end
  puts "copied: #{lines}"
  conn.send_query('SELECT j FROM generate_series(1, 50) j')
  conn.set_single_row_mode
  sum = 0
  conn.get_result.stream_each_row { |row| sum += row[0].to_i }
  conn.get_last_result
  puts "row by row: #{sum}"
rescue StandardError => e
  puts "#{e.class}: #{e.message}"
end

# All at once, by our own loop over IO.select.
right = 0
6.times do |round|
  connections.each_with_index { |conn, i| conn.send_query_params('SELECT $1::text, pg_sleep(0.003)', ["#{i}/#{round}"]) }
  waiting = connections.each_with_index.to_h { |conn, i| [conn.socket_io, [conn, i]] }
  until waiting.empty?
    ready, = IO.select(waiting.keys, nil, nil, 20)
    raise 'nothing became ready in 20 s' unless ready

    ready.each do |io|
      conn, i = waiting[io]
      conn.consume_input
      next if conn.is_busy

      right += 1 if conn.get_last_result.getvalue(0, 0) == "#{i}/#{round}"
      waiting.delete(io)
    end
  end
end
puts "at once: #{right}"

connections.each_with_index do |conn, i|
  begin
    conn.transaction do
      conn.exec_params("UPDATE kept SET name = 'never seen' WHERE owner = $1", [i])
      conn.exec('SELECT 1 / 0')
    end
  rescue PG::Error => e
    puts "#{e.class} #{e.result.error_field(PG::PG_DIAG_SQLSTATE)} #{e.message.lines.first}"
  end
  conn.send_query('SELECT 1; SELECT 2; SELECT nothing_of_this_name')
  begin
    conn.get_last_result
  rescue PG::Error => e
    puts e.class
  end
  p [conn.exec_params('SELECT name FROM kept WHERE owner = $1', [i]).getvalue(0, 0), conn.transaction_status]
end
system(ENV['BACKENDS']) || raise('could not count')

# Stopped by the handle itself, while it runs.
conn = connections[3]
conn.send_query('SELECT pg_sleep(20)')
sleep 0.05
p conn.cancel
begin
  conn.get_last_result
rescue PG::QueryCanceled => e
  puts e.class
end
puts conn.exec("SELECT 'goes on'").getvalue(0, 0)

# In threads: ruby-pg lets go of the interpreter's lock while it waits.
answers = connections.each_with_index.map do |c, i|
  Thread.new { Array.new(10) { |j| c.exec_params('SELECT $1::text, pg_sleep(0.001)', ["#{i}-#{j}"]).getvalue(0, 0) == "#{i}-#{j}" } }
end
puts "in threads: #{answers.map(&:value).flatten.count(true)}"
connections.each(&:finish)
