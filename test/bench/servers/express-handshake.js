// Express 5 and the handshake of `ws`: the request travels through the application, and `ws` checks and answers it. Nobody reads
// from the connection, which keeps its request. That much everybody has to do who leaves the handshake to `ws`.
import express from 'express';
import { WebSocketServer } from 'ws';
import { serverOf } from './by-hand.js';
import { serve } from './serve.js';

/** What `ws` gives the connection to. */
class Nobody {
  /** @param {import('node:stream').Duplex} socket */
  setSocket(socket) {
    socket.on('error', ignore).on('end', end).resume();
  }
}

const app = express();
const handshakes = new WebSocketServer({
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
  WebSocket: /** @type {any} */ (Nobody),
});

/** Keeps the request for as long as the connection lives. */
const kRequest = Symbol('request');

app.get('/echo', (req, res) => {
  const { socket, head } = res.locals;
  res.detachSocket(socket);
  handshakes.handleUpgrade(req, socket, head, ignore);
  Object.assign(socket, { [kRequest]: req });
});

/** @this {import('node:net').Socket} */
function end() {
  this.end();
}

function ignore() {}

await serve(serverOf(app));
