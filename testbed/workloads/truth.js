// SPDX-License-Identifier: Apache-2.0

// Truth records of the Node workloads: what really happened, one JSON line each.
'use strict';
const fs = require('fs');
const path = require('path');

const records = [];

// now is the wall clock in ns, as a decimal string (it does not fit a double).
// Date.now has ms only, so the offset is taken the moment it ticks.
let skew;
for (let d = Date.now(); ;) {
  const e = Date.now();
  if (e !== d) {
    skew = BigInt(e) * 1000000n - process.hrtime.bigint();
    break;
  }
}
exports.now = () => process.hrtime.bigint() + skew;

exports.parse = (target) => {
  const u = new URL(target, 'http://x');
  const [, , name, id] = u.pathname.split('/');
  const n = (k, d) => Number(u.searchParams.get(k) ?? d);
  return {
    name, id, path: u.pathname, query: u.search.slice(1),
    status: n('status', 200), size: n('size', 10), delay: n('delay', 0), chunks: n('chunks', 0),
  };
};

exports.keep = (role, target, fields) => {
  const t = exports.parse(target);
  records.push({
    case: t.name, id: t.id, role, pid: process.pid, path: t.path, query: t.query, version: '1.1',
    request_body: 0, response_body: -1, ...fields,
  });
};

exports.write = (directory) => {
  const raw = (k, v) => (typeof v === 'bigint' ? `@${v}@` : v);
  const lines = records.map((r) => JSON.stringify(r, raw).replace(/"@(\d+)@"/g, '$1'));
  fs.writeFileSync(path.join(directory, `${process.pid}.jsonl`), lines.map((l) => l + '\n').join(''));
};
