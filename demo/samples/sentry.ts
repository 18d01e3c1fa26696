import * as Sentry from '@sentry/node';
import express from 'express';
import { webSockets } from 'websocket-context';

Sentry.init(); // its address stands in SENTRY_DSN

const app = express();
const sockets = webSockets({
  onError(error, _socket, _req, { expected }) {
    if (!expected) Sentry.captureException(error);
  },
});

app.get(
  '/sum',
  sockets.handler(async (socket) => {
    let sum = 0;
    for await (const message of socket) {
      sum += JSON.parse(String(message)).amount; // throws at what is not JSON, and nobody catches it
      await socket.sendAsync(String(sum));
    }
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
