import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { deflateRawSync } from 'node:zlib';
import { Server } from 'socket.io';
import WebSocket, { Sender, WebSocketServer } from 'ws';

// Sends messages to all members in one of several ways, and measures what that costs it. Told what to do by the messages
// of its parent.

const [contestant = 'node', size = '128', compressed = 'false', burst = '1', build = ''] = process.argv.slice(2);
const data = Buffer.from('The quick brown fox jumps over the lazy dog, again and again. '.repeat(2000)).subarray(
  0,
  Number(size),
);
const text = data.toString();
const deflate = compressed === 'true';
/** In a tick. */
const messages = Number(burst);

/** Nobody sends pings, which the members do not answer: ms. */
const NEVER = 2 ** 31 - 1;

const server = createServer();
const broadcast = (await contestants())[contestant];
if (broadcast === undefined) throw new Error(`Unknown contestant ${contestant}`);

/** @returns {Promise<Record<string, () => unknown>>} */
async function contestants() {
  switch (contestant) {
    case 'node':
      return nodeAlone();
    case 'socket.io':
      return socketIo();
    case 'ws':
    case 'ws-frame':
      return rawWs();
    default:
      return ours();
  }
}

async function ours() {
  /** @type {typeof import('../../../dist/esm/index.js')} */
  const { webSockets } = await import(build);
  const sockets = webSockets({ perMessageDeflate: deflate, keepAliveInterval: 0 });
  sockets.attach(server, async (req) => {
    const socket = await sockets.accept(req);
    await socket.addToGroupAsync('members');
  });
  const group = sockets.group('members');
  return {
    group: () => void group.sendAsync(data),
    loop: () => {
      for (const socket of sockets.connections) void socket.sendAsync(data);
    },
  };
}

function rawWs() {
  const wss = new WebSocketServer({ server, perMessageDeflate: deflate });
  return {
    // As https://github.com/websockets/ws shows it.
    ws: () => {
      for (const client of wss.clients) if (client.readyState === WebSocket.OPEN) client.send(data, { binary: true });
    },
    // As those do it who know its inside; a frame that is compressed would have to be made by hand.
    'ws-frame': () => {
      const frame = Sender.frame(data, { fin: true, rsv1: false, opcode: 2, mask: false, readOnly: true });
      for (const client of wss.clients) client._sender.sendFrame(frame);
    },
  };
}

function socketIo() {
  const io = new Server(server, { perMessageDeflate: deflate, httpCompression: false, pingInterval: NEVER });
  io.on('connection', (socket) => socket.join('members'));
  return { 'socket.io': () => void io.to('members').emit('m', text) };
}

function nodeAlone() {
  // What the others compress, it has ready, and what they send in a tick, in one piece.
  const buffer = deflate ? deflateRawSync(data, { level: 3 }) : Buffer.concat(Array(messages).fill(data));
  /** @type {import('node:stream').Duplex[]} */
  const members = [];
  server.on('upgrade', (req, socket) => {
    const accept = createHash('sha1')
      .update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.resume();
    members.push(socket);
  });
  return {
    node: () => {
      for (const socket of members) socket.write(buffer);
    },
  };
}

let cpu = process.cpuUsage();
let rss = 0;
let peak = 0;
let stall = 0;
let last = 0;

/** @type {NodeJS.Timeout | undefined} */
let watching;

/** Notes the longest time that the event loop has not gone round; not where CPU is what is measured, as this takes some. */
function watch() {
  last = performance.now();
  stall = 0;
  watching = setInterval(() => {
    const now = performance.now();
    stall = Math.max(stall, now - last - 1);
    last = now;
    peak = Math.max(peak, process.memoryUsage.rss());
  }, 1);
}

process.on('message', (/** @type {any} */ message) => {
  if (message.send) {
    for (let sent = 0; sent < (contestant === 'node' ? 1 : messages); sent++) broadcast?.();
    // What the call itself has taken from the system is not seen by the timer.
    if (watching) peak = Math.max(peak, process.memoryUsage.rss());
    process.send?.({ sent: true });
  } else if (message.begin) {
    globalThis.gc?.();
    setTimeout(() => {
      rss = peak = process.memoryUsage.rss();
      if (message.watch) watch();
      cpu = process.cpuUsage();
      process.send?.({ begun: true });
    }, 100);
  } else {
    const { user, system } = process.cpuUsage(cpu);
    clearInterval(watching);
    watching = undefined;
    process.send?.({ cpu: user + system, stall, peak: (peak - rss) / (1 << 20) });
  }
});

server.listen(0, '127.0.0.1', () => process.send?.({ port: /** @type {any} */ (server.address()).port }));
