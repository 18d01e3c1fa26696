import { createHash } from 'node:crypto';
import express from 'express';
import { WebSocketMessageType, webSockets } from 'websocket-context';

const MIB = 2 ** 20;
const app = express();
const sockets = webSockets();

// While a message of any size comes in, the client hears how much of it has been dealt with.
app.get(
  '/upload',
  sockets.handler(async (socket, req) => {
    const { name } = req.query;
    for (;;) {
      const hash = createHash('sha256');
      for (let received = 0, reported = 0, done = false; !done; ) {
        const { data, endOfMessage, messageType } = await socket.receiveAsync();
        if (messageType === WebSocketMessageType.Close) return;
        hash.update(data); // or await that it is written to wherever it goes
        received += data.length;
        done = endOfMessage;
        if (!done && received - reported < MIB) continue;
        reported = received;
        const sha256 = done ? hash.digest('hex') : undefined;
        await socket.sendAsync(JSON.stringify({ name, received, done, sha256 }));
      }
    }
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
