// Express 5 and `ws` joined by hand: the upgrade request travels through the application with a response of its own.
import { createServer, ServerResponse } from 'node:http';
import express from 'express';
import { WebSocketServer } from 'ws';
import { deflate, serve } from './serve.js';
import { dispatch, endpoints } from './ws-endpoints.js';

const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: deflate });
const app = express();
const server = createServer(app);

for (const path of Object.keys(endpoints)) {
  app.get(path, (req, res) => {
    const { socket, head } = res.locals;
    res.detachSocket(socket);
    sockets.handleUpgrade(req, socket, head, (webSocket) => dispatch(webSocket, req.url, req));
  });
}

server.on('upgrade', (req, socket, head) => {
  const res = new ServerResponse(req);
  res.assignSocket(/** @type {import('node:net').Socket} */ (socket));
  Object.assign(res, { locals: { socket, head } });
  app(req, res);
});

await serve(server);
