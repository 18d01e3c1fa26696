// A program: a server and its clients in a network of their own, from which all packets vanish at some moment. Run in a
// network namespace in which it may do so (`unshare --net --map-root-user`), it prints what the server noticed, as JSON.

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { type WebSocketContext, webSockets } from '../../src/index.js';
import { BINARY_FRAME, clientFrame, PONG_FRAME } from './frames.js';
import { requestBytes } from './raw-client.js';
import { portOf } from './servers.js';

/** What became of the connections of one kind. */
export interface VanishedPeers {
  readonly kind: 'idle' | 'receiving' | 'paused';
  /** When each was given up, in ms since the network was cut. */
  readonly after: readonly number[];
  readonly codes: readonly number[];
}

const CONNECTIONS = 10;

const tool = (command: string, ...args: string[]): void => void execFileSync(command, args, { stdio: 'inherit' });

tool('ip', 'link', 'set', 'lo', 'up');

const sockets = webSockets({ keepAliveInterval: 1000, keepAliveTimeout: 1000, receiveBufferLimit: 1024 });
const server = createServer();
const contexts = new Map<string, WebSocketContext[]>([
  ['/idle', []],
  ['/receiving', []],
  ['/paused', []],
]);
sockets.attach(server, async (req: IncomingMessage) => {
  const socket = await sockets.accept(req);
  contexts.get(req.url ?? '')?.push(socket);
  if (req.url === '/receiving') {
    // Data of ours on its way, which nobody acknowledges any more.
    const timer = setInterval(() => void socket.sendAsync('news').catch(() => {}), 50);
    socket.signal.addEventListener('abort', () => clearInterval(timer));
  }
  if (req.url !== '/paused') socket.receiveAsync().catch(() => {});
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');

// All of them live on while the network is there: longer than an interval and a timeout.
const clients: Socket[] = [];
const pongs = setInterval(() => {
  for (const client of clients) client.write(clientFrame({ opcode: PONG_FRAME }));
}, 200);
await Promise.all(
  [...contexts.keys()].flatMap((path) =>
    Array.from({ length: CONNECTIONS }, async () => {
      const client = connect(portOf(server), '127.0.0.1').on('error', () => {});
      client.write(requestBytes({ path }));
      await once(client, 'data');
      client.resume();
      // More than the server holds unread: it stops reading, so that pongs do not reach it either.
      if (path === '/paused') client.write(clientFrame({ opcode: BINARY_FRAME, payload: Buffer.alloc(200_000) }));
      clients.push(client);
    }),
  ),
);
await new Promise((resolve) => setTimeout(resolve, 2500));
if (sockets.connectionCount !== clients.length) throw new Error(`Only ${sockets.connectionCount} connections are left`);

// A bucket that no packet fits into.
tool('tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'tbf', 'rate', '8bit', 'burst', '1', 'limit', '1');
clearInterval(pongs);
const cut = performance.now();
const results = await Promise.all(
  [...contexts].map(async ([path, found]): Promise<VanishedPeers> => {
    const after: number[] = [];
    const codes: number[] = [];
    await Promise.all(
      found.map(async (socket) => {
        codes.push((await socket.closed).code);
        after.push(performance.now() - cut);
      }),
    );
    return { kind: path.slice(1) as VanishedPeers['kind'], after, codes };
  }),
);
console.log(JSON.stringify(results));
for (const client of clients) client.destroy();
server.close();
