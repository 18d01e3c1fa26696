// What Node alone can do: sockets that are read from and written to, and nothing else. It looks at the first frame only, to
// learn its size and its answer; from then on it counts bytes and writes answers that it has prepared. No server that reads
// what arrives can be faster on the same machine, so this is where a ratio ends, whatever the goal says.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { BINARY, BURST, PUSHED_TEXT, serverFrame, TEXT } from './load/frames.js';

export const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

const DEFLATE = 'Sec-WebSocket-Extensions: permessage-deflate\r\n';

/** Answers that leave in one write, if they are small. */
const MOST_AT_ONCE = 64;

/** @typedef {import('node:stream').Duplex} Duplex */

/**
 * @param {Buffer} request one frame of a client
 * @returns {Buffer} the frame that sends its payload back
 */
function answerTo(request) {
  const length = request[1] & 127;
  const headerSize = length === 127 ? 14 : length === 126 ? 8 : 6;
  const key = request.subarray(headerSize - 4, headerSize);
  const payload = Buffer.from(request.subarray(headerSize));
  for (let i = 0; i < payload.length; i++) payload[i] ^= key[i & 3];
  return serverFrame(request[0] === TEXT ? TEXT : BINARY, payload);
}

/** @param {Buffer} start of a frame */
function sizeOf(start) {
  const length = start[1] & 127;
  if (length === 127) return 14 + Number(start.readBigUInt64BE(2));
  return length === 126 ? 8 + start.readUInt16BE(2) : 6 + length;
}

/** @param {Duplex} socket */
function echoUnread(socket) {
  /** @type {Buffer[]} */
  let first = [];
  let size = 0;
  let answer = Buffer.alloc(0);
  let answers = answer;
  let received = 0;
  socket.on('data', (chunk) => {
    received += chunk.length;
    if (answers.length === 0) {
      first.push(chunk);
      size = sizeOf(/** @type {Buffer} */ (first[0]));
      if (received < size) return;
      answer = answerTo(Buffer.concat(first).subarray(0, size));
      answers = answer.length > 1024 ? answer : Buffer.concat(Array.from({ length: MOST_AT_ONCE }, () => answer));
      first = [];
    }
    let due = Math.floor(received / size);
    received -= due * size;
    socket.cork();
    while (due > 0) {
      const now = Math.min(due, answers.length / answer.length);
      socket.write(now * answer.length === answers.length ? answers : answers.subarray(0, now * answer.length));
      due -= now;
    }
    socket.uncork();
  });
}

const pushes = Buffer.concat(Array.from({ length: 512 }, () => serverFrame(TEXT, PUSHED_TEXT)));

/** @param {Duplex} socket */
function push(socket) {
  const pump = () => {
    while (socket.write(pushes));
  };
  socket.on('drain', pump);
  socket.once('data', pump);
}

const burstOfFrames = Buffer.concat(Array.from({ length: BURST }, () => serverFrame(TEXT, PUSHED_TEXT)));

/** @type {Set<Duplex>} */
const members = new Set();

/** Sends a burst to all that have asked for one. */
export function sendBurst() {
  for (const member of members) member.write(burstOfFrames);
}

/**
 * @param {{
 *   onBurst?: () => void,
 *   echo?: (socket: Duplex) => void,
 *   upload?: (socket: Duplex) => void,
 *   deflate?: boolean,
 * }} [options] `onBurst`: told when a client asks for a burst; `echo`: serves /echo; `upload`: serves /upload; `deflate`:
 *   whether permessage-deflate is agreed to where it is offered
 * @returns a server that does not listen yet
 */
export function createNodeServer({ onBurst = sendBurst, echo = echoUnread, upload, deflate = false } = {}) {
  /** @param {Duplex} socket */
  function burst(socket) {
    members.add(socket);
    socket.on('close', () => members.delete(socket));
    socket.on('data', onBurst);
  }

  /** @type {Record<string, (socket: Duplex) => void>} */
  const endpoints = { '/echo': echo, '/push': push, '/burst': burst, ...(upload && { '/upload': upload }) };
  const server = createServer();
  server.on('upgrade', (req, socket) => {
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    const accept = createHash('sha1')
      .update(req.headers['sec-websocket-key'] + GUID)
      .digest('base64');
    const extension = deflate && req.headers['sec-websocket-extensions']?.includes('permessage-deflate') ? DEFLATE : '';
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${extension}\r\n`,
    );
    endpoints[String(req.url)]?.(socket);
  });
  return server;
}
