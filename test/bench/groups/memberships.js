import { webSockets } from '../../../dist/esm/index.js';
import { connect } from '../../../dist/esm/testing/index.js';

// Prints how much of the heap memberships take, in a process of its own that was started with --expose-gc.

/** @param {number} connections @param {number} groups @param {number} each groups that a connection is in */
async function measure(connections, groups, each) {
  const sockets = webSockets({ keepAliveInterval: 0 });
  const app = sockets.handler(async (socket) => {
    await socket.closed;
  });
  for (let at = 0; at < connections; at++) await connect(app, '/');
  const before = heapUsed();
  let name = 0;
  for (const socket of sockets.connections) {
    for (let at = 0; at < each; at++) void socket.addToGroupAsync(`group ${name++ % groups}`);
  }
  await new Promise(setImmediate);
  const taken = heapUsed() - before;
  const memberships = connections * each;
  console.log(
    `  ${String(memberships).padStart(7)} memberships of ${connections} connections in ${groups} groups: ` +
      `${(taken / 1e6).toFixed(1)} MB, ${(taken / memberships).toFixed(0)} B each`,
  );
  await sockets.close({ timeout: 0 });
}

function heapUsed() {
  for (let at = 0; at < 3; at++) globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

console.log('\nMemberships');
await measure(1_000, 100, 100);
await measure(10_000, 1_000, 10);
await measure(10_000, 10_000, 1);
