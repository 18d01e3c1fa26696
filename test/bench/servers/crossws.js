import { createServer } from 'node:http';
import nodeAdapter from 'crossws/adapters/node';
import { BURST, deflate, PUSHED, serve } from './serve.js';

/** Messages that a sender hands over before it waits until they are out: 128 KiB. */
const BATCH = 1024;

const HIGH_WATER_MARK = 1 << 16;

const pushing = new Set();

function pump(peer) {
  let waiting = 0;
  for (let i = 0; i < BATCH; i++) waiting = peer.send(PUSHED);
  // The drain hook is called only after the socket has taken more than its high water mark.
  if (pushing.has(peer) && waiting <= HIGH_WATER_MARK) setImmediate(pump, peer);
}

const sockets = nodeAdapter({
  serverOptions: { perMessageDeflate: deflate },
  // The load generator expects replies only, and no pings between them.
  idleTimeout: 0,
  hooks: {
    open(peer) {
      peer.path = new URL(peer.request.url).pathname;
      if (peer.path === '/burst') peer.subscribe('burst');
    },
    message(peer, message) {
      switch (peer.path) {
        case '/echo':
          peer.send(message.rawData);
          return;
        case '/push':
          pushing.add(peer);
          pump(peer);
          return;
        case '/burst':
          for (let i = 0; i < BURST; i++) {
            peer.publish('burst', PUSHED);
            peer.send(PUSHED);
          }
          return;
        default:
          peer.send(String(message.uint8Array().length));
      }
    },
    drain(peer) {
      if (pushing.has(peer)) pump(peer);
    },
    close: (peer) => pushing.delete(peer),
    error: (peer) => pushing.delete(peer),
  },
});

const server = createServer();
server.on('upgrade', sockets.handleUpgrade);

await serve(server);
