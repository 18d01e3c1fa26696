// In your project: from 'express'. Here both versions are installed, and this name stands for express@4.
import express from 'express4';
import createError from 'http-errors';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

// Express 4 does not look at the promise of a handler; `sockets.handler` does. A rejection never gets lost.
app.get(
  '/teapot',
  sockets.handler(async () => {
    throw createError(418, 'I am a teapot');
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
