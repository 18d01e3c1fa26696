import express from 'express';
import { type WebSocketContext, WebSocketMessageType, webSockets } from 'websocket-context';

/** JavaScript: whole messages, until the client closes. */
async function messages(socket: WebSocketContext): Promise<void> {
  for await (const message of socket) await socket.sendAsync(message);
}

/** ASP.NET: fragments as they arrive, and the close in our own hands. */
async function fragments(socket: WebSocketContext): Promise<void> {
  for (;;) {
    const { data, messageType, endOfMessage } = await socket.receiveAsync();
    if (messageType === WebSocketMessageType.Close) break;
    await socket.sendAsync(data, { messageType, endOfMessage });
  }
  await socket.closeAsync(1000, 'goodbye'); // the acknowledgement; called first, it would await the client's
}

/** IIS: the same in the native module's words. */
async function native(socket: WebSocketContext): Promise<void> {
  for (;;) {
    const { data, utf8Encoded, finalFragment, connectionClose } = await socket.readFragment();
    if (connectionClose) break;
    await socket.writeFragment(data, { utf8Encoded, finalFragment });
  }
  await socket.sendConnectionClose(1000, 'goodbye'); // one frame, waits for nothing
}

const app = express();
const sockets = webSockets();
app.get('/messages', sockets.handler(messages));
app.get('/fragments', sockets.handler(fragments));
app.get('/native', sockets.handler(native));

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
