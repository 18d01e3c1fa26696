import express from 'express';
import { WebSocketMessageType, webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

// JavaScript: messages
app.get(
  '/messages',
  sockets.handler(async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  }),
);

// ASP.NET: fragments as they arrive, and a close that is awaited
app.get(
  '/fragments',
  sockets.handler(async (socket) => {
    const { data, messageType, endOfMessage } = await socket.receiveAsync();
    if (messageType === WebSocketMessageType.Close) return;
    await socket.sendAsync(data, { messageType, endOfMessage });
    await socket.closeAsync(1000, 'one is enough'); // resolves when the client has acknowledged
  }),
);

// IIS: the same in the native module's words
app.get(
  '/native',
  sockets.handler(async (socket) => {
    const { data, utf8Encoded, finalFragment, connectionClose } = await socket.readFragment();
    if (!connectionClose) await socket.writeFragment(data, { utf8Encoded, finalFragment });
    await socket.sendConnectionClose(1000, 'one is enough'); // waits for nothing
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
