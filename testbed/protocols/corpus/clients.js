// SPDX-License-Identifier: Apache-2.0
//
// clients.js CONVERSATION PORT: talks to a server with a client library of Node.js, and prints
// what it did; see clients.py.
const [what, port] = [process.argv[2], +process.argv[3]];
const done = {};
const did = (line, n = 1) => { done[line] = (done[line] ?? 0) + n; };

async function mysql2() {
  const c = await require('mysql2/promise').createConnection({ host: '127.0.0.1', port, user: 'app', password: 'secret', database: 'shop' });
  await c.query('CREATE TABLE prepared (id int PRIMARY KEY, v text)');
  did('CREATE TABLE prepared');
  for (let i = 0; i < 10; i++) { // the statement is prepared once
    await c.execute('INSERT INTO prepared VALUES (?, ?)', [i, 'value '.repeat(i)]);
    did('INSERT prepared');
    await c.execute('SELECT v FROM prepared WHERE id <= ?', [i]);
    did('SELECT prepared');
  }
  did('PREPARE INSERT prepared');
  did('PREPARE SELECT prepared');
  try {
    await c.execute('SELECT * FROM none WHERE id = ?', [1]);
  } catch {
    did('PREPARE SELECT none 1146');
  }
  try {
    await c.execute('INSERT INTO prepared VALUES (?, ?)', [1, '']);
  } catch {
    did('INSERT prepared 1062');
  }
  await c.end();
}

async function pg() {
  const { Client } = require('pg');
  const c = new Client({ host: '127.0.0.1', port, user: 'app', password: 'secret', database: 'shop' });
  await c.connect();
  await c.query('CREATE TABLE node (id int, v text)');
  did('CREATE TABLE node');
  for (let i = 0; i < 10; i++) {
    await c.query('INSERT INTO node VALUES ($1, $2)', [i, 'value '.repeat(i)]);
    did('INSERT node');
    await c.query({ name: 'by id', text: 'SELECT v FROM node WHERE id = $1', values: [i] });
    did('SELECT node');
  }
  // Sent one after the other by the library, which has a queue.
  await Promise.all([...Array(10).keys()].map((i) => c.query(`SELECT v FROM node WHERE id < ${i}`)));
  did('SELECT node', 10);
  try {
    await c.query('SELECT $1::int / 0 FROM node', [1]);
  } catch (e) {
    did('SELECT node ' + e.code);
  }
  await c.end();
}

({ 'mysql2': mysql2, 'pg': pg })[what]().then(() => {
  for (const line of Object.keys(done)) console.log('exchanges', done[line], line);
}, (e) => {
  console.error(e);
  process.exit(1);
});
