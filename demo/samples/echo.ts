import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

app.get(
  '/echo',
  sockets.handler(async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
