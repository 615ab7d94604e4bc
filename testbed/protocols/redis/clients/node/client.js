// SPDX-License-Identifier: Apache-2.0
// Does what its arguments say with ioredis and node-redis; see ../../redis_test.go.
const fs = require("fs");
const o = {network: "tcp", workers: "1", size: "10", mode: "ioredis"};
for (const a of process.argv.slice(2)) {
  const [k, v] = a.replace(/^--/, "").split("=");
  o[k] = v;
}
const value = "v".repeat(Number(o.size));
const script = "return redis.error_reply(ARGV[1])";
const [host, port] = o.address.split(":");
const key = (j) => `${o.case}:${j}`;
const code = (j) => `E${o.case.toUpperCase()}${j} as told`;

function connect() {
  if (o.mode !== "node-redis") {
    const Redis = require("ioredis");
    const c = o.network === "unix" ? new Redis(o.address) : new Redis({host, port: Number(port), enableAutoPipelining: o.mode === "auto"});
    return {
      c,
      op: (j) => [() => c.set(key(j), value), () => c.mget(key(j), key(j - 1)), () => c.eval(script, 0, code(j), key(j)), () => c.incr(key(j))][j % 4](),
      ping: () => c.ping(), close: () => c.quit(),
    };
  }
  const c = require("redis").createClient({socket: {host, port: Number(port)}, RESP: 3});
  return {
    c,
    op: (j) => c.sendCommand([["SET", key(j), value], ["MGET", key(j), key(j - 1)], ["EVAL", script, "0", code(j), key(j)], ["INCR", key(j)]][j % 4]),
    ping: async () => { await c.connect(); await c.ping(); }, close: () => c.close(),
  };
}

(async () => {
  const c = connect();
  await c.ping();
  await new Promise((r) => setTimeout(r, 300)); // a process is looked at before it works
  while (o.wait && !fs.existsSync(o.wait)) await new Promise((r) => setTimeout(r, 20));
  let next = 0;
  const worker = async () => {
    while (next < Number(o.n)) {
      try {
        await c.op(next++);
      } catch (e) {
        if (!String(e).includes("as told")) throw e;
      }
    }
  };
  await Promise.all(Array.from({length: Number(o.workers)}, worker));
  await c.close();
})().catch((e) => { console.error(e); process.exit(1); });
