// SPDX-License-Identifier: Apache-2.0

// Express, and the fetch that Node brings (undici).
'use strict';
const express = require('express');
const plan = require('./plan');

const request = async (call) => {
  const res = await fetch(call.url, call.body ? { method: 'POST', body: call.body } : {});
  const text = await res.text();
  if (res.status !== 200) throw new Error(`${call.url}: ${text}`);
};

const app = express();
app.use(express.text({ type: () => true, limit: '10mb' }));
app.use(async (req, res) => {
  try {
    const task = plan.parse(req.url);
    await plan.run(task.steps, request);
    res.send(task.out);
  } catch (e) {
    res.status(500).send(`express: ${e} ${e.cause}`);
  }
});
const server = app.listen(Number(process.env.PORT), '127.0.0.1', 256, () => console.log('listening', process.env.PORT));
server.keepAliveTimeout = 600000; // a client must not meet a connection that is being closed
