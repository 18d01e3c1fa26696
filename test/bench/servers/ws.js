// The baseline: `ws` as its own documentation shows it beside an existing HTTP server.
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { deflate, serve } from './serve.js';
import { dispatch } from './ws-endpoints.js';

const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: deflate, maxPayload: 0 });
const server = createServer();

server.on('upgrade', (req, socket, head) => {
  sockets.handleUpgrade(req, socket, head, (webSocket) => dispatch(webSocket, req.url, req));
});

await serve(server);
