// This package, the way its README shows it: behind Express 5, with `for await` and `sendAsync`.
import { createServer } from 'node:http';
import express from 'express';
import { BURST, deflate, PUSHED, serve } from './serve.js';

/** @type {typeof import('../../../dist/esm/index.js')} */
const { webSockets } = await import(process.env.BENCH_BUILD ?? '');

const app = express();
const server = createServer(app);
const sockets = webSockets({ perMessageDeflate: deflate });
sockets.attach(server, app);

app.get(
  '/echo',
  sockets.handler(async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  }),
);

app.get(
  '/push',
  sockets.handler(async (socket) => {
    await socket.receiveMessageAsync();
    for (;;) await socket.sendAsync(PUSHED);
  }),
);

app.get(
  '/burst',
  sockets.handler(async (socket) => {
    for await (const _ of socket) {
      for (let i = 0; i < BURST; i++) {
        for (const member of sockets.connections) void member.sendAsync(PUSHED);
      }
    }
  }),
);

app.get(
  '/burst-group',
  sockets.handler(async (socket) => {
    const group = sockets.group('members');
    await socket.addToGroupAsync('members');
    for await (const _ of socket) {
      for (let i = 0; i < BURST; i++) void group.sendAsync(PUSHED);
    }
  }),
);

app.get(
  '/named-echo',
  sockets.handler(async (socket, req) => {
    for await (const message of socket) await socket.sendAsync(`${req.url}: ${message}`);
  }),
);

app.get(
  '/upload',
  sockets.handler(async (socket) => {
    let size = 0;
    for (;;) {
      const { count, endOfMessage, messageType } = await socket.receiveAsync();
      if (messageType === 2) return;
      size += count;
      if (endOfMessage) {
        await socket.sendAsync(String(size), { compress: false });
        size = 0;
      }
    }
  }),
);

app.get(
  '/stream',
  sockets.handler(async (socket) => {
    for (;;) {
      const { data, messageType, endOfMessage } = await socket.receiveAsync();
      if (messageType === 2) return;
      await socket.sendAsync(data, { messageType, endOfMessage });
    }
  }),
);

await serve(server);
