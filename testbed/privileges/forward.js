// SPDX-License-Identifier: Apache-2.0

// An HTTP server that asks another one, on the port that is its argument, for every path
// that it is asked for.
const http = require('http');

const server = http.createServer((req, res) => {
  http.get({ host: '127.0.0.1', port: process.argv[2], path: req.url, agent: false }, (answer) => {
    res.writeHead(answer.statusCode);
    answer.pipe(res);
  });
});
server.listen(0, '127.0.0.1', () => console.log('listening ' + server.address().port));
