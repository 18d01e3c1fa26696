// The clients of the soak, in a process of their own: each connects, talks, ends in one of many ways, and begins again.

import { randomBytes, randomInt } from 'node:crypto';
import { connect } from 'node:net';
import { WebSocket } from 'ws';

const port = Number(process.argv[2]);
const connections = Number(process.argv[3]);
let stopping = false;
const count = {};
const live = new Set();

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const request = (path, key = KEY) =>
  `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`;

/** A masked frame (RFC 6455, section 5.2) whose mask is 0. */
function frame(firstByte, payload = '') {
  const body = Buffer.from(payload);
  const length = body.length;
  const header =
    length < 126
      ? Buffer.from([firstByte, 0x80 | length])
      : length < 65536
        ? Buffer.from([firstByte, 0xfe, length >> 8, length])
        : Buffer.from([firstByte, 0xff, 0, 0, 0, 0, length >> 24, length >> 16, length >> 8, length]);
  return Buffer.concat([header, Buffer.alloc(4), body]);
}
const text = (message) => frame(0x81, message);
const CLOSE = frame(0x88, Buffer.from([0x03, 0xe8]));

/** A connection that reads and throws away what comes; only in the end it acknowledges closes. */
class Raw {
  constructor() {
    this.socket = connect(port, '127.0.0.1').on('error', () => {});
    this.closed = new Promise((resolve) => this.socket.once('close', resolve));
    this.socket.on('data', (chunk) => {
      if (stopping && chunk[0] === CLOSE[0]) this.socket.write(CLOSE);
    });
  }

  async write(data) {
    if (!this.socket.destroyed) this.socket.write(data);
    await sleep(randomInt(20, 200));
  }

  async open(path = '/') {
    await this.write(request(path));
    await this.talk();
  }

  async talk() {
    for (let at = randomInt(1, 12); at > 0 && !stopping; at--) {
      await this.write(randomInt(2) === 0 ? text('hello') : frame(0x82, randomBytes(randomInt(20_000))));
      await sleep(randomInt(100, 1500));
    }
  }

  async end() {
    // Whoever does not read does not notice that the server has gone.
    await Promise.race([this.closed, sleep(8000)]);
    this.socket.destroy();
  }
}

/** Each is a way for a connection to come to its end. */
const ways = {
  async 'clean, by the client'(raw) {
    await raw.open();
    await raw.write(CLOSE);
  },
  async 'clean, by the server'(raw) {
    await raw.open();
    raw.socket.once('data', () => {});
    await raw.write(text('return'));
    await raw.write(CLOSE);
  },
  async 'a handler that throws'(raw) {
    await raw.open();
    await raw.write(text('throw'));
    await raw.write(CLOSE);
  },
  async 'a close that is not acknowledged'(raw) {
    await raw.open();
    await raw.write(text('return'));
  },
  async reset(raw) {
    await raw.open();
    raw.socket.resetAndDestroy();
  },
  async 'FIN without a close'(raw) {
    await raw.open();
    raw.socket.end();
  },
  async vanished(raw) {
    await raw.open();
    raw.socket.pause();
    await sleep(7000);
    raw.socket.destroy();
  },
  async 'abort()'(raw) {
    await raw.open();
    await raw.write(text('abort'));
  },
  async 'closeTcpConnection()'(raw) {
    await raw.open();
    await raw.write(text('tcp'));
    raw.socket.end();
  },
  async 'protocol error'(raw) {
    await raw.open();
    const wrong = [
      Buffer.from([0x81, 0x01, 0x61]),
      frame(0xf1, 'reserved bits'),
      frame(0x83, 'reserved opcode'),
      frame(0x09, 'fragmented ping'),
      frame(0x80, 'continues nothing'),
      frame(0x81, Buffer.from([0xc3, 0x28])),
      frame(0x88, Buffer.from([0x03, 0xed])),
      randomBytes(200),
    ];
    await raw.write(wrong[randomInt(wrong.length)]);
    raw.socket.end();
  },
  async 'too big'(raw) {
    await raw.open();
    await raw.write(frame(0x82, Buffer.alloc(70_000)));
    raw.socket.end();
  },
  async 'slow reader'(raw) {
    await raw.open();
    raw.socket.pause();
    await raw.write(text('flood'));
    await sleep(5000);
    raw.socket.destroy();
  },
  async 'slow writer'(raw) {
    await raw.open();
    const message = text('slowly '.repeat(1000));
    for (let at = 0; at < 60; at++) await raw.write(message.subarray(at, at + 1));
    raw.socket.destroy();
  },
  async 'left during the handshake'(raw) {
    raw.socket.write(request('/slow'));
    await sleep(randomInt(250));
    if (randomInt(2) === 0) raw.socket.resetAndDestroy();
    else raw.socket.end();
  },
  async refused(raw) {
    await raw.write(request('/', 'short'));
  },
  async 'half a request'(raw) {
    await raw.write(request('/').slice(0, randomInt(150)));
    raw.socket.destroy();
  },
};

/** A client of `ws`, which compresses. */
async function compressed() {
  const client = new WebSocket(`ws://127.0.0.1:${port}/`, { perMessageDeflate: { threshold: 0 } });
  client.on('error', () => {});
  const closed = new Promise((resolve) => client.once('close', resolve));
  await Promise.race([new Promise((resolve) => client.once('open', resolve)), closed]);
  for (let at = randomInt(1, 12); at > 0 && client.readyState === WebSocket.OPEN && !stopping; at--) {
    client.send('compressible '.repeat(randomInt(1, 1000)));
    await sleep(randomInt(100, 1500));
  }
  if (randomInt(3) === 0) client.terminate();
  else client.close(1000);
  await closed;
}

async function one() {
  const names = Object.keys(ways);
  const at = randomInt(names.length + 2);
  const name = names[at] ?? 'compressed';
  if (at >= names.length) {
    await compressed();
  } else {
    const raw = new Raw();
    live.add(raw);
    await ways[name](raw);
    await raw.end();
    live.delete(raw);
  }
  count[name] = (count[name] ?? 0) + 1;
}

async function repeat() {
  // Not all at once.
  await sleep(randomInt(3000));
  while (!stopping) await one();
}

process.on('message', () => {
  stopping = true;
  process.send(count);
});
process.once('disconnect', () => {
  for (const { socket } of live) socket.destroy();
});
await Promise.all(Array.from({ length: connections }, repeat));
