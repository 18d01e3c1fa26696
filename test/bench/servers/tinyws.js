import { createServer } from 'node:http';
import express from 'express';
import { tinyws } from 'tinyws';
import { deflate, serve } from './serve.js';
import { dispatch, endpoints } from './ws-endpoints.js';

const app = express();
const server = createServer(app);
tinyws({ handler: app }, server, { perMessageDeflate: deflate });

for (const path of Object.keys(endpoints)) {
  app.get(path, async (req) => dispatch(await req.ws(), path));
}

await serve(server);
