import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { BINARY, clientFrame, handshake, noise } from '../load/frames.js';

// The clients of an echo over either version of HTTP. Told what to do by the messages of their parent.

/** How many handshakes are under way at once. */
const AT_ONCE = 100;

/** @type {import('node:stream').Duplex[]} */
const connections = [];
/** @type {import('node:http2').ClientHttp2Session[]} */
const sessions = [];

/** @param {number} port @returns {Promise<import('node:stream').Duplex>} */
async function openHttp1(port) {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.write(handshake('/'));
  let head = '';
  while (!head.includes('\r\n\r\n')) head += (await once(socket, 'data'))[0].toString('latin1');
  if (!head.startsWith('HTTP/1.1 101 ')) throw new Error(`The handshake was refused: ${head.slice(0, 60)}`);
  return socket;
}

/** @param {import('node:http2').ClientHttp2Session} session @returns {Promise<import('node:stream').Duplex>} */
async function openHttp2(session) {
  const stream = session.request({
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':scheme': 'http',
    ':authority': 'localhost',
    ':path': '/',
    'sec-websocket-version': '13',
  });
  const [headers] = await once(stream, 'response');
  if (headers[':status'] !== 200) throw new Error(`The handshake was refused: ${headers[':status']}`);
  return stream;
}

/** @param {number} port */
async function newSession(port) {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  await once(session, 'remoteSettings');
  sessions.push(session);
  return session;
}

/**
 * Opens further connections.
 *
 * @param {{ port: number, way: 'http1' | 'http2' | 'sessions', count: number }} job `http2`: all of them on one session;
 *   `sessions`: each on one of its own
 */
async function open({ port, way, count }) {
  const shared = way === 'http2' ? (sessions[0] ?? (await newSession(port))) : undefined;
  const one = async () => {
    const connection = way === 'http1' ? await openHttp1(port) : await openHttp2(shared ?? (await newSession(port)));
    connections.push(connection);
  };
  for (let at = 0; at < count; at += AT_ONCE)
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - at) }, one));
}

/**
 * Lets messages go there and back.
 *
 * @param {{ size: number, inFlight: number, messages: number }} job `inFlight`, `messages`: of each connection
 */
async function echo({ size, inFlight, messages }) {
  const request = clientFrame(BINARY, noise(size));
  const replySize = size + (size < 126 ? 2 : 4);
  const requests = Buffer.concat(Array.from({ length: inFlight }, () => request));
  await Promise.all(
    connections.map(
      (connection) =>
        new Promise((resolve) => {
          let sent = 0;
          let received = 0;
          const send = (/** @type {number} */ wanted) => {
            const count = Math.min(wanted, messages - sent);
            sent += count;
            if (count > 0) connection.write(requests.subarray(0, count * request.length));
          };
          const onData = (/** @type {Buffer} */ chunk) => {
            const before = Math.floor(received / replySize);
            received += chunk.length;
            send(Math.floor(received / replySize) - before);
            if (received < messages * replySize) return;
            connection.off('data', onData);
            resolve(undefined);
          };
          connection.on('data', onData);
          send(inFlight);
        }),
    ),
  );
}

process.on('message', async (/** @type {any} */ job) => {
  await (job.port ? open(job) : echo(job));
  process.send?.({ done: true });
});
process.on('disconnect', () => process.exit());
