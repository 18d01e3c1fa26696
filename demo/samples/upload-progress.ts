import express from 'express';
import { WebSocketMessageType, webSockets } from 'websocket-context';

const MIB = 2 ** 20;
const app = express();
const sockets = webSockets();

// While a message of any size comes in, the client hears how much of it has been dealt with.
app.get(
  '/upload',
  sockets.handler(async (socket) => {
    for (let received = 0, reported = 0; ; ) {
      const { count, endOfMessage, messageType } = await socket.receiveAsync();
      if (messageType === WebSocketMessageType.Close) return;
      received += count; // … and here you would write `data` to wherever it goes, and await that
      if (endOfMessage || received - reported >= MIB) {
        reported = received;
        await socket.sendAsync(JSON.stringify({ received, done: endOfMessage }));
      }
      if (endOfMessage) received = reported = 0;
    }
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
