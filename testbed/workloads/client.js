// SPDX-License-Identifier: Apache-2.0

// node client.js TRUTH_DIR PORT CASE COUNT CONCURRENCY: an HTTP client with a keep-alive agent.
'use strict';
const http = require('http');
const truth = require('./truth');

const [, , directory, port, name, count, concurrency] = process.argv;
const mix = [
  ['GET', 'status=200&size=100', 0], ['POST', 'status=201&size=3000', 4000], ['GET', 'status=404&size=9', 0],
  ['GET', 'status=503&size=9', 0], ['GET', 'status=200&size=50000&chunks=5', 0], ['HEAD', 'status=200&size=500', 0],
  ['GET', 'status=204', 0], ['PUT', 'status=200&delay=4000', 100],
];
const agent = new http.Agent({ keepAlive: true, maxSockets: Number(concurrency) });
let next = 0;
let open = 0;

function one() {
  if (next >= Number(count)) {
    if (!open) {
      agent.destroy();
      truth.write(directory);
    }
    return;
  }
  const i = next++;
  open++;
  const [method, query, size] = mix[i % mix.length];
  const target = `/case/${name}/n${String(i).padStart(5, '0')}?${query}`;
  const headers = { 'User-Agent': 'node-agent' };
  if (size) headers['Content-Length'] = size;
  const start = truth.now();
  const req = http.request({ host: '127.0.0.1', port, method, path: target, headers, agent }, (res) => {
    let got = 0;
    res.on('data', (d) => { got += d.length; });
    res.on('end', () => {
      truth.keep('client', target, {
        method, status: res.statusCode, request_body: size, response_body: got, start_min: start,
        end_max: truth.now(), user_agent: 'node-agent', server_port: Number(port), peer_port: Number(port),
      });
      open--;
      one();
    });
  });
  req.on('error', (e) => { console.error(e); process.exit(1); });
  req.end('q'.repeat(size));
}
for (let i = 0; i < Number(concurrency); i++) one();
