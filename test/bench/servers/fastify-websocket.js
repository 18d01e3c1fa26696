import { createServer } from 'node:http';
import websocket from '@fastify/websocket';
import fastify from 'fastify';
import { deflate, serve } from './serve.js';
import { dispatch, endpoints } from './ws-endpoints.js';

const server = createServer();
const app = fastify({
  serverFactory: (handler) => server.on('request', handler),
});
await app.register(websocket, { options: { perMessageDeflate: deflate } });

for (const path of Object.keys(endpoints)) {
  app.get(path, { websocket: true }, (socket) => dispatch(socket, path));
}

await app.ready();
await serve(server);
