import { Hocuspocus } from '@hocuspocus/server';
import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();
const hocuspocus = new Hocuspocus();

app.get(
  '/collaboration',
  sockets.handler(({ ws }, req) => hocuspocus.handleConnection(ws, req)),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
