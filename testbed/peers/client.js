// SPDX-License-Identifier: Apache-2.0
// Talks to servers by name, with ioredis, node-postgres and node:http, whose names getaddrinfo
// looks up in libuv's threads; or, with --cares, with sockets whose names c-ares does:
// client.js ROUNDS [--cares] KIND:NAME:PORT...
const dns = require("dns");
const net = require("net");
const http = require("http");

const args = process.argv.slice(2);
const rounds = Number(args.shift());
const cares = args[0] === "--cares" && args.shift();
const targets = args.map((a) => a.split(":"));

function lookup(name, options, done) {
  dns.resolve4(name, (e, all) => {
    if (e) return done(e);
    return options.all ? done(null, all.map((address) => ({address, family: 4}))) : done(null, all[0], 4);
  });
}

async function connect([kind, name, port]) {
  const asked = "asked/" + name;
  if (cares) {
    const c = net.connect({host: name, port: Number(port), lookup});
    c.setNoDelay(true);
    const get = () => new Promise((done, fail) => {
      c.once("data", done);
      c.once("error", fail);
      c.write(`*2\r\n$3\r\nGET\r\n$${asked.length}\r\n${asked}\r\n`);
    });
    return [get, () => c.destroy()];
  }
  if (kind === "redis") {
    const Redis = require(process.env.REDIS_MODULE);
    const c = new Redis({host: name, port: Number(port)});
    return [() => c.get(asked), () => c.quit()];
  }
  if (kind === "pg") {
    const {Client} = require(process.env.PG_MODULE);
    const c = new Client({host: name, port: Number(port), user: "tester", database: "postgres"});
    await c.connect();
    return [() => c.query(`SELECT '${asked}'`), () => c.end()];
  }
  const agent = new http.Agent({keepAlive: true});
  const get = () => new Promise((done, fail) => {
    http.get({host: name, port: Number(port), path: "/" + asked, agent}, (res) => res.resume().on("end", done)).on("error", fail);
  });
  return [get, () => agent.destroy()];
}

(async () => {
  for (let i = 0; i < rounds; i++) {
    const connections = [];
    for (const t of targets) {
      const c = await connect(t);
      await c[0]();
      connections.push(c);
    }
    for (const [request, close] of connections) {
      await request();
      await close();
    }
  }
})().catch((e) => { console.error(e); process.exit(1); });
