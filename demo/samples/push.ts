import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

// As fast as this client reads, and no faster: sendAsync resolves when the connection is ready for more. The loop ends
// when either side begins to close; returning then acknowledges the client's close.
app.get(
  '/numbers',
  sockets.handler(async (socket) => {
    for (let number = 0; !socket.closing.aborted; number += 1) await socket.sendAsync(String(number));
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
