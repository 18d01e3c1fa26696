import { createServer } from 'node:http';
import express from 'express';
import expressWs from 'express-ws';
import { deflate, serve } from './serve.js';
import { dispatch, endpoints } from './ws-endpoints.js';

const app = express();
const server = createServer(app);
expressWs(app, server, { wsOptions: { perMessageDeflate: deflate } });

for (const path of Object.keys(endpoints)) app.ws(path, (socket) => dispatch(socket, path));

await serve(server);
