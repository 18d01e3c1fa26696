import express from 'express';
import { WebSocketMessageType, WebSocketState, webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

app.get(
  '/echo',
  sockets.handler(async (socket) => {
    const buffer = new Uint8Array(4096);
    while (socket.state === WebSocketState.Open) {
      const result = await socket.receiveAsync(buffer);
      if (result.messageType === WebSocketMessageType.Close) {
        await socket.closeAsync(socket.closeStatus, socket.closeStatusDescription);
      } else {
        const { data, messageType, endOfMessage } = result;
        await socket.sendAsync(data, { messageType, endOfMessage });
      }
    }
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
