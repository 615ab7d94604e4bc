// SPDX-License-Identifier: Apache-2.0
//
// client.js PORT TAG N CONNECTIONS: MongoDB's driver for Node, many connections in one
// event loop. Prints what it did: see package databases.
const { MongoClient } = require('mongodb');

const [port, tag, n, connections] = process.argv.slice(2);
const offset = BigInt(Date.now()) * 1000000n - process.hrtime.bigint();
const now = () => Number(process.hrtime.bigint() + offset);
const client = new MongoClient(`mongodb://127.0.0.1:${port}/?directConnection=true&retryWrites=false&maxPoolSize=${connections}`);

async function work(i) {
  const db = client.db('shop');
  for (let k = 0; k < +n; k++) {
    const id = `id_${tag}_${i}_${k}`;
    const r = { id, rows: -1, start: now() };
    try {
      if (k % 3 == 0) {
        r.summary = 'find items';
        r.rows = (await db.collection('items').find({ [id]: null }).limit(1 + (k % 20)).toArray()).length;
      } else if (k % 3 == 1) {
        r.summary = `insert ${id}`;
        await db.collection(id).insertOne({ v: 1 });
      } else {
        r.summary = `nix ${id}`;
        await db.command({ nix: id });
      }
    } catch (e) {
      if (!e.code) throw e;
      r.status = String(e.code);
    }
    r.end = now();
    console.log(JSON.stringify(r));
  }
}

Promise.all([...Array(+connections).keys()].map(work))
  .then(() => client.close())
  .catch((e) => {
    console.error(e);
    process.exit(1);
  });
