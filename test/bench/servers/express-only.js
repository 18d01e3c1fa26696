// Express 5 alone: the request of a handshake travels through the application, and is answered by a 101. Nobody reads from the
// connection, which keeps its request. That much everybody has to do who brings a WebSocket to Express.
import { createHash } from 'node:crypto';
import { createServer, ServerResponse } from 'node:http';
import express from 'express';
import { GUID } from '../node-alone.js';
import { serve } from './serve.js';

const app = express();
const server = createServer(app);

/** Keeps the request for as long as the connection lives. */
const kRequest = Symbol('request');

app.get(['/echo', '/named-echo'], (req, res) => {
  const { socket } = req;
  res.detachSocket(socket);
  const accept = createHash('sha1')
    .update(req.headers['sec-websocket-key'] + GUID)
    .digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  Object.assign(socket, { [kRequest]: req });
  socket.on('error', ignore).on('end', end).resume();
});

/** @this {import('node:net').Socket} */
function end() {
  this.end();
}

function ignore() {}

server.on('upgrade', (req, socket) => {
  const res = new ServerResponse(req);
  res.assignSocket(/** @type {import('node:net').Socket} */ (socket));
  app(req, res);
});

await serve(server);
