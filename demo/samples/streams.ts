import { TransformStream } from 'node:stream/web';
import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

// Each message is a chunk. The pipe reads only what its end has taken, and passes the client's close on as ours.
app.get(
  '/shout',
  sockets.handler(async (socket) => {
    const shout = new TransformStream<string | Buffer, string>({
      transform: (message, controller) => controller.enqueue(`${message}`.toUpperCase()),
    });
    await socket.readable.pipeThrough(shout).pipeTo(socket.writable);
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
