import { Aedes } from 'aedes';
import express from 'express';
import { webSockets } from 'websocket-context';
import { createWebSocketStream } from 'ws';

const app = express();
const sockets = webSockets();
const broker = await Aedes.createBroker();

app.get(
  '/mqtt',
  sockets.handler(({ ws }, req) => broker.handle(createWebSocketStream(ws), req), { subProtocols: ['mqtt'] }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
