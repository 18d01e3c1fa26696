// The four endpoints, written once for all servers whose connections are objects of `ws`, the way its documentation
// shows them; what differs between those servers is how a request comes to them.
import { BURST, PUSHED } from './serve.js';

/** Messages that a sender hands over before it waits until they are out: 128 KiB. */
const BATCH = 1024;

/** @typedef {import('ws').WebSocket} WebSocket */

/** @param {WebSocket} socket */
function echo(socket) {
  // Version 7, which express-ws brings along, tells text from binary by the type of the data.
  socket.on('message', (data, isBinary) => socket.send(data, isBinary === undefined ? {} : { binary: isBinary }));
}

/** @param {WebSocket} socket @param {import('node:http').IncomingMessage} req */
function namedEcho(socket, req) {
  socket.on('message', (data) => socket.send(`${req.url}: ${data}`));
}

/** @param {WebSocket} socket */
function push(socket) {
  const pump = () => {
    for (let i = 1; i < BATCH; i++) socket.send(PUSHED);
    // As long as the kernel takes everything the callback comes without a turn of the event loop.
    socket.send(PUSHED, (error) => error ?? setImmediate(pump));
  };
  socket.once('message', pump);
}

/** @type {Set<WebSocket>} */
const members = new Set();

/** @param {WebSocket} socket */
function burst(socket) {
  members.add(socket);
  socket.on('close', () => members.delete(socket));
  socket.on('message', () => {
    for (let i = 0; i < BURST; i++) for (const member of members) member.send(PUSHED);
  });
}

/** @param {WebSocket} socket */
function upload(socket) {
  // Uncompressed in any case, so that the load generator knows its bytes.
  socket.on('message', (data) => socket.send(String(data.length), { compress: false }));
}

export const endpoints = {
  '/echo': echo,
  '/named-echo': namedEcho,
  '/push': push,
  '/burst': burst,
  '/upload': upload,
  '/stream': echo,
};

/**
 * @param {WebSocket} socket
 * @param {string | undefined} url
 * @param {import('node:http').IncomingMessage} [req] for the endpoints that use it
 */
export function dispatch(socket, url, req) {
  // Without a listener an error of the connection, such as a peer that vanishes, would end the process.
  socket.on('error', () => {});
  endpoints[/** @type {keyof typeof endpoints} */ (url)]?.(socket, req);
}
