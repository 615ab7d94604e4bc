// SPDX-License-Identifier: Apache-2.0

// Node's own http server, and its client with an agent that keeps connections.
'use strict';
const http = require('http');
const plan = require('./plan');

const agent = new http.Agent({ keepAlive: true });

const request = (call) => new Promise((resolve, reject) => {
  const req = http.request(call.url, { agent, method: call.body ? 'POST' : 'GET' }, (res) => {
    let text = '';
    res.on('data', (d) => { text += d; });
    res.on('end', () => (res.statusCode === 200 ? resolve() : reject(new Error(`${call.url}: ${text}`))));
    res.on('error', reject);
  });
  req.on('error', reject);
  req.end(call.body);
});

const server = http.createServer((req, res) => {
  req.resume();
  req.on('end', async () => {
    try {
      const task = plan.parse(req.url);
      await plan.run(task.steps, request);
      res.end(task.out);
    } catch (e) {
      res.statusCode = 500;
      res.end(`node: ${e}`);
    }
  });
});
server.keepAliveTimeout = 600000; // a client must not meet a connection that is being closed
server.listen(Number(process.env.PORT), '127.0.0.1', 256, () => console.log('listening', process.env.PORT));
