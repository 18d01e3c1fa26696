import express from 'express';
import { WebSocketMessageType, webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

app.get(
  '/last-words',
  sockets.handler(async (socket) => {
    await socket.sendAsync('Anything else?');
    await socket.closeOutputAsync(1000, 'I have said everything'); // state: CloseSent

    // Our half is closed; the client may still talk, and its own close frame ends it.
    for (;;) {
      const { data, messageType } = await socket.receiveAsync();
      if (messageType === WebSocketMessageType.Close) return; // state: Closed
      console.log(`Received after our close: ${Buffer.from(data)}`);
    }
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
