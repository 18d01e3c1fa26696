import express from 'express';
import { webSockets } from 'websocket-context';
import { WebSocketServer } from 'ws';

const app = express();
const sockets = webSockets();

app.get(
  '/ours/echo',
  sockets.handler(async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
// Without `exclusive` the other one answers our requests with 400
sockets.attach(server, app, { filter: (req) => req.url?.startsWith('/ours/') === true, exclusive: true });

const old = new WebSocketServer({ server, path: '/theirs' });
old.on('connection', (ws) => ws.on('message', (data) => ws.send(`theirs: ${data}`)));
