# SPDX-License-Identifier: Apache-2.0

# A Rack application with Net::HTTP connections that are kept, and a new thread
# for each of several calls at the same time.
require 'net/http'
require_relative 'plan'

# Connections nobody uses at the moment, by host and port.
IDLE = Hash.new { |idle, key| idle[key] = Queue.new }
LOCK = Mutex.new

def connection(uri)
  idle = LOCK.synchronize { IDLE[[uri.host, uri.port]] }
  http = begin
    idle.pop(true)
  rescue ThreadError # there is none
    Net::HTTP.new(uri.host, uri.port).tap { |h| h.keep_alive_timeout, h.max_retries = 600, 0 }.start
  end
  yield(http).tap { idle << http }
end

def call(call)
  sleep(call.delay) if call.delay > 0
  return unless call.url

  uri = URI(call.url)
  request = call.body.empty? ? Net::HTTP::Get.new(uri) : Net::HTTP::Post.new(uri).tap { |r| r.body = call.body }
  response = connection(uri) { |http| http.request(request) }
  raise "#{call.url}: #{response.body}" unless response.is_a?(Net::HTTPOK)
end

run(lambda do |env|
  env['rack.input'].read
  steps, out = Plan.parse(env['PATH_INFO'])
  steps.each do |step|
    if step.size == 1
      call(step[0])
    else
      step.map { |c| Thread.new { call(c) } }.each(&:join)
    end
  end
  [200, { 'Content-Type' => 'text/plain' }, [out]]
rescue StandardError => e
  [500, { 'Content-Type' => 'text/plain' }, ["puma: #{e.inspect}"]]
end)
