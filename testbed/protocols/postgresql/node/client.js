// SPDX-License-Identifier: Apache-2.0
//
// Runs queries with pg and prints a line per operation: marker, rows, SQLSTATE or "-".
// Arguments: connection string, cases KIND:CONNECTIONS:OPERATIONS.
'use strict';
const { Client } = require(process.env.PG_MODULE);

const clients = [];

async function one(connectionString, kind, name, operations) {
  const client = new Client({ connectionString });
  await client.connect();
  for (let i = 0; i < operations; i++) {
    const marker = `${name}_${i}`;
    let query = { text: `SELECT g, 'secret' AS ${marker} FROM generate_series(1, ${i % 7}) g` };
    if (kind === 'extended') query = { text: `SELECT g AS ${marker} FROM generate_series(1, $1::int) g`, values: [i % 5] };
    if (kind === 'named') query = { name: 'named', text: `SELECT g AS ${name}_same FROM generate_series(1, $1::int) g`, values: [3] };
    if (i % 8 === 5 && kind !== 'named') query = { text: `SELECT 1/(g-1) AS ${marker} FROM generate_series(1,3) g` };
    if (kind === 'big' && i % 2 === 0) query = { text: `SELECT $1::text AS ${marker} UNION ALL SELECT 'x' FROM generate_series(1, 3)`, values: ['v'.repeat(1 << 20)] };
    try {
      const result = await client.query(query);
      console.log(kind === 'named' ? `${name}_same` : marker, result.rows.length, '-');
    } catch (e) {
      console.log(marker, -1, e.code);
    }
  }
  clients.push(client);
}

(async () => {
  const [connectionString, ...cases] = process.argv.slice(2);
  for (const c of cases) {
    const [kind, connections, operations] = c.split(':');
    await Promise.all(Array.from({ length: +connections }, (_, n) =>
      one(connectionString, kind, `op_node_${kind}_${connections}_${n}`, operations / connections)));
  }
  // The server's processes have to live until the collector has looked at them.
  await new Promise((resolve) => setTimeout(resolve, 300));
  await Promise.all(clients.map((client) => client.end()));
})();
