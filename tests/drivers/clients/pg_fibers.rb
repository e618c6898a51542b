# ruby-pg under a fiber scheduler: twelve connections in twelve fibers of one thread, through IO.select.
require 'pg'

# As small as a scheduler can be for this: it waits for descriptors and sleeps.
class Scheduler
  def initialize
    @waiting = {}
    @sleeping = {}
    @ready = []
    @lock = Thread::Mutex.new
    @wake = IO.pipe
  end

  def run
    until @waiting.empty? && @sleeping.empty? && @ready.empty?
      step
    end
  end
  alias close run

  def step
    # A fiber may wait at once, on the same descriptor again.
    ready, @ready = @ready, []
    ready.each { |fiber| fiber.resume if fiber.alive? }
    readers = @waiting.select { |_, (_, events)| events.anybits?(IO::READABLE) }.map { |fiber, (io, _)| [io, fiber] }
    writers = @waiting.select { |_, (_, events)| events.anybits?(IO::WRITABLE) }.map { |fiber, (io, _)| [io, fiber] }
    wait = @ready.empty? ? @sleeping.values.min&.-(now)&.clamp(0, 20) || 20 : 0
    readable, writable, = IO.select(readers.map(&:first) + [@wake[0]], writers.map(&:first), [], wait)
    @wake[0].read_nonblock(100, exception: false) if readable&.include?(@wake[0])
    due = @sleeping.select { |_, time| time <= now }.keys
    due.each { |fiber| @sleeping.delete(fiber) }
    events = Hash.new(0)
    readers.each { |io, fiber| events[fiber] |= IO::READABLE if readable&.include?(io) }
    writers.each { |io, fiber| events[fiber] |= IO::WRITABLE if writable&.include?(io) }
    events.each_key { |fiber| @waiting.delete(fiber) }
    raise 'nothing became ready in 20 s' if !readable && !writable && due.empty? && wait == 20
    events.each { |fiber, what| fiber.resume(what) }
    due.each { |fiber| fiber.resume(false) if fiber.alive? && !events.key?(fiber) && !@waiting.key?(fiber) }
  end

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

  def io_wait(io, events, timeout)
    @waiting[Fiber.current] = [io, events]
    @sleeping[Fiber.current] = now + timeout if timeout
    result = Fiber.yield
    @waiting.delete(Fiber.current)
    @sleeping.delete(Fiber.current)
    result
  end

  def kernel_sleep(duration = 20)
    @sleeping[Fiber.current] = now + duration
    Fiber.yield
  end

  def block(_blocker, timeout = nil)
    @sleeping[Fiber.current] = now + (timeout || 1000)
    Fiber.yield
  end

  def unblock(_blocker, fiber)
    @lock.synchronize do
      @sleeping.delete(fiber)
      @ready << fiber
    end
    @wake[1].write_nonblock('.', exception: false)
  end

  def fiber(&block)
    fiber = Fiber.new(blocking: false, &block)
    fiber.resume
    fiber
  end
end

count = 12
connections = Array.new(count)
results = Array.new(count) { [] }
Thread.new do
  Fiber.set_scheduler(Scheduler.new)
  count.times do |i|
    Fiber.schedule do
      conn = connections[i] = PG.connect(host: ENV['PGHOST'])
      8.times do |j|
        tag = "#{i}/#{j}"
        if j == 3
          begin
            conn.exec('SELECT 1 / 0')
          rescue PG::DivisionByZero
            results[i] << true
          end
        elsif j == 5
          conn.transaction do
            conn.exec_params('UPDATE kept SET name = $2 WHERE owner = $1', [i, tag])
            results[i] << (conn.exec_params('SELECT name FROM kept WHERE owner = $1', [i]).getvalue(0, 0) == tag)
          end
        else
          results[i] << (conn.exec_params('SELECT $1::text, pg_sleep(0.004)', [tag]).getvalue(0, 0) == tag)
        end
      end
    end
  end
end.join
p(results.map { |answers| [answers.size, answers.all?(true)] })
puts "descriptors: #{connections.map(&:socket).uniq.size}"
system(ENV['BACKENDS']) || raise('could not count')
connections.each(&:finish)
