// SPDX-License-Identifier: Apache-2.0

// node server.js TRUTH_DIR: an HTTP server that does what the query asks; stops on SIGTERM.
'use strict';
const http = require('http');
const truth = require('./truth');

const server = http.createServer((req, res) => {
  const start = truth.now();
  let length = 0;
  req.on('data', (d) => { length += d.length; });
  req.on('end', () => {
    const want = truth.parse(req.url);
    setTimeout(() => {
      const bare = req.method === 'HEAD' || want.status === 204 || want.status === 304;
      const body = bare ? 0 : want.size;
      const headers = {};
      if (!want.chunks && want.status !== 204) headers['Content-Length'] = want.size;
      res.writeHead(want.status, headers);
      let last = 0n;
      const { localPort, remotePort } = req.socket;
      res.on('finish', () => truth.keep('server', req.url, {
        method: req.method, status: want.status, request_body: length, response_body: body,
        start_max: start, end_min: last, end_max: truth.now() + 1000000n, user_agent: req.headers['user-agent'] || '',
        server_port: localPort, peer_port: remotePort,
      }));
      if (want.chunks && !bare) {
        for (let i = 0; i < want.chunks; i++) {
          const n = Math.floor(want.size * (i + 1) / want.chunks) - Math.floor(want.size * i / want.chunks);
          if (n) res.write('b'.repeat(n));
        }
        last = truth.now();
        res.end();
      } else {
        last = truth.now();
        res.end('b'.repeat(body));
      }
    }, want.delay / 1000);
  });
});
server.listen(0, '127.0.0.1', () => console.log('listening', server.address().port));
process.on('SIGTERM', () => {
  truth.write(process.argv[2]);
  process.exit(0);
});
