import express from 'express';
import createError from 'http-errors';
import { webSockets } from 'websocket-context';

export const app = express();
const sockets = webSockets();

app.use('/members', (req, _res, next) =>
  next(req.headers.authorization ? undefined : createError(401, 'Sign in first')),
);

app.get(
  '/members/:name',
  sockets.handler(async (socket, req) => {
    await socket.sendAsync(`Hello, ${req.params.name}`);
    const timer = setInterval(() => void socket.sendAsync('Still there?'), 10_000);
    for await (const message of socket) await socket.sendAsync(`${req.params.name}: ${message}`);
    clearInterval(timer);
  }),
);
