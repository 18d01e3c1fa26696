import express from 'express';
import { Server } from 'socket.io';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

app.get(
  '/live/echo',
  sockets.handler(async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app, { filter: (req) => req.url?.startsWith('/live/') === true, exclusive: true });

const io = new Server(server); // has its own path, /socket.io/
io.on('connection', (client) => client.on('echo', (message, answer) => answer(message)));
