import express from 'express';
import createError from 'http-errors';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();
const supported = ['v2.chat', 'v1.chat']; // the server's order of preference

app.get(
  '/chat',
  (req, _res, next) => {
    const requested = sockets.requestedProtocols(req);
    next(requested.some((name) => supported.includes(name)) ? undefined : createError(400, 'Speak v1.chat or v2.chat'));
  },
  sockets.handler(
    async (socket) => {
      await socket.sendAsync(`We speak ${socket.subProtocol}`);
    },
    { subProtocols: supported },
  ),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
