import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { webSockets } from '../../../dist/esm/index.js';

// An echo over HTTP/1.1 or HTTP/2, without TLS, which says what it has used when its parent asks.

const sockets = webSockets();
const server =
  process.argv[2] === '2' ? createHttp2Server({ settings: { enableConnectProtocol: true } }) : createServer();

sockets.attach(
  server,
  sockets.handler(async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  }),
);

process.on('message', () => {
  globalThis.gc?.();
  const { user, system } = process.cpuUsage();
  process.send?.({ cpu: user + system, rss: process.memoryUsage.rss(), connections: sockets.connectionCount });
});
process.on('disconnect', () => process.exit());

server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.send?.({ port: address !== null && typeof address === 'object' ? address.port : 0 });
});
