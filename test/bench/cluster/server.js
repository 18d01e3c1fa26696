// An echo and a group in one process, or in several of node:cluster: `server.js 4`; `server.js 4 node-only` does it with Node alone.
import nodeCluster from 'node:cluster';
import { once } from 'node:events';
import { createServer } from 'node:http';
import express from 'express';
import { cluster, relay } from '../../../dist/esm/cluster.js';
import { webSockets } from '../../../dist/esm/index.js';
import { BURST, PUSHED_TEXT } from '../load/frames.js';
import { createNodeServer, sendBurst } from '../node-alone.js';

const PUSHED = PUSHED_TEXT.toString();
const processes = Number(process.argv[2] ?? 1);
const isNodeAlone = process.argv[3] === 'node-only';

if (processes > 1 && nodeCluster.isPrimary) {
  if (!isNodeAlone) relay();
  const workers = Array.from({ length: processes }, () => nodeCluster.fork());
  for (const worker of isNodeAlone ? workers : []) {
    worker.on('message', (message) => {
      if (message === 'burst') for (const other of workers) if (other !== worker) other.send(message);
    });
  }
  const [port] = await Promise.all(workers.map(portOf));
  process.send?.({ port, pids: [process.pid, ...workers.map((worker) => worker.process.pid)] });
} else {
  const port = await (isNodeAlone ? serveAlone() : serve());
  const message = { port, pids: [process.pid] };
  if (nodeCluster.worker) nodeCluster.worker.send(message);
  else process.send?.(message);
}
process.on('disconnect', () => process.exit(0));

/** @param {import('node:cluster').Worker} worker @returns {Promise<number>} */
function portOf(worker) {
  return new Promise((resolve) => {
    // Its backplane talks to this process as well.
    worker.on('message', ({ port }) => port !== undefined && resolve(port));
  });
}

/** What no server of several processes can be beyond: one message for a burst, and buffers that were prepared. */
async function serveAlone() {
  const { worker } = nodeCluster;
  process.on('message', (message) => {
    if (message === 'burst') sendBurst();
  });
  return listen(
    createNodeServer({
      onBurst() {
        sendBurst();
        worker?.send('burst');
      },
    }),
  );
}

async function serve() {
  const app = express();
  const server = createServer(app);
  const sockets = webSockets(nodeCluster.isWorker ? { backplane: cluster() } : {});
  const group = sockets.group('members');
  sockets.attach(server, app);
  app.get(
    '/echo',
    sockets.handler(async (socket) => {
      for await (const message of socket) await socket.sendAsync(message);
    }),
  );
  app.get(
    '/burst',
    sockets.handler(async (socket) => {
      await socket.addToGroupAsync('members');
      for await (const _ of socket) for (let at = 0; at < BURST; at++) void group.sendAsync(PUSHED);
    }),
  );
  return listen(server);
}

/** @param {import('node:http').Server} server */
async function listen(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return /** @type {import('node:net').AddressInfo} */ (server.address()).port;
}
