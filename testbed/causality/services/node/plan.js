// SPDX-License-Identifier: Apache-2.0

// What the path of a request asks a service to do (see ../../doc.go).
'use strict';
const peers = Object.fromEntries(process.env.PEERS.split(' ').map((peer) => peer.split('=')));

// parse gives {steps, out}: steps are lists of calls {delay, url, body}, which are
// made at the same time; delay is in ms, url empty if it is a wait only.
exports.parse = (path) => {
  const [, scenario, id, node, sizes, plan] = path.split('/');
  const [sizeIn, sizeOut] = sizes.split('-').map(Number);
  const mine = plan.split('~').find((entry) => entry.startsWith(`${node}=`));
  let child = 0;
  const toCall = (text) => {
    const [name, delay] = text.split('*');
    const url = name && `http://${peers[name]}/${scenario}/${id}/${node}.${child++}/${sizes}/${plan}`;
    return { delay: Number(delay || 0), url, body: 'x'.repeat(sizeIn) };
  };
  const steps = mine ? mine.slice(node.length + 1).split(',').map((step) => step.split('+').map(toCall)) : [];
  return { steps, out: 'x'.repeat(sizeOut) };
};

// run takes the steps; request makes one call and gives a promise.
exports.run = async (steps, request) => {
  const one = async (call) => {
    if (call.delay) await new Promise((resolve) => setTimeout(resolve, call.delay));
    if (call.url) await request(call);
  };
  for (const step of steps) await Promise.all(step.map(one));
};
