// Express 5 and `ws` joined by hand: the upgrade request travels through the application with a response of its own.
import express from 'express';
import { WebSocketServer } from 'ws';
import { serverOf } from './by-hand.js';
import { deflate, serve } from './serve.js';
import { dispatch, endpoints } from './ws-endpoints.js';

const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: deflate });
const app = express();

for (const path of Object.keys(endpoints)) {
  app.get(path, (req, res) => {
    const { socket, head } = res.locals;
    res.detachSocket(socket);
    sockets.handleUpgrade(req, socket, head, (webSocket) => dispatch(webSocket, req.url, req));
  });
}

await serve(serverOf(app));
