// SPDX-License-Identifier: Apache-2.0
//
// client.js HOST PORT TAG N CONNECTIONS: queries and prepared statements of mysql2, many
// connections in one event loop. Prints what it did: see truth in the test.
const mysql = require('mysql2/promise');

const [host, port, tag, n, connections] = process.argv.slice(2);
const now = () => Number(process.hrtime.bigint() + offset);
const offset = BigInt(Date.now()) * 1000000n - process.hrtime.bigint();

async function work(i) {
  const c = await mysql.createConnection({ host, port: +port, user: 'app', password: 'secret', database: 'shop' });
  for (let k = 0; k < +n; k++) {
    const id = `id_${tag}_${i}_${k}`;
    const r = { id, rows: -1, start: now() };
    try {
      let rows;
      switch (k % 4) {
        case 0:
          r.summary = 'SELECT items';
          [rows] = await c.query(`SELECT v AS ${id} FROM items WHERE id < ${k % 40}`);
          break;
        case 1:
          r.summary = 'SELECT items';
          [rows] = await c.execute(`SELECT v AS ${id} FROM items WHERE id < ?`, [k % 40]);
          break;
        case 2:
          r.summary = `SELECT nix_${id}`;
          [rows] = await c.query(`SELECT * FROM nix_${id}`);
          break;
        default: // several commands in flight would be a queue in mysql2: it waits
          r.summary = 'SET';
          await c.query(`SET @${id} = 1`);
      }
      if (rows) r.rows = rows.length;
    } catch (e) {
      if (!e.errno) throw e;
      r.status = String(e.errno);
    }
    r.end = now();
    console.log(JSON.stringify(r));
  }
  await c.end();
}

Promise.all([...Array(+connections).keys()].map(work)).catch((e) => {
  console.error(e);
  process.exit(1);
});
