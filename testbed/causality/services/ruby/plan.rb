# SPDX-License-Identifier: Apache-2.0

# What the path of a request asks a service to do (see ../../doc.go).
module Plan
  PEERS = ENV.fetch('PEERS').split.to_h { |peer| peer.split('=') }
  # delay is in seconds; url is nil if it is a wait only.
  Call = Struct.new(:delay, :url, :body)

  # parse gives the steps, lists of calls that are made at the same time, and the
  # response's body.
  def self.parse(path)
    _, scenario, id, node, sizes, plan = path.split('/', -1)
    size_in, size_out = sizes.split('-').map(&:to_i)
    mine = plan.split('~').find { |entry| entry.start_with?("#{node}=") }
    child = -1
    steps = (mine || '').delete_prefix("#{node}=").split(',').map do |step|
      step.split('+').map do |call|
        name, delay = call.split('*')
        url = "http://#{PEERS.fetch(name)}/#{scenario}/#{id}/#{node}.#{child += 1}/#{sizes}/#{plan}" unless name.empty?
        Call.new(delay.to_i / 1000.0, url, 'x' * size_in)
      end
    end
    [steps, 'x' * size_out]
  end
end
