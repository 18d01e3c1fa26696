import express = require('express');
import websockets = require('websocket-context');

const app = express();
const sockets = websockets.webSockets();

app.get(
  '/rooms/:room',
  sockets.handler(async (socket, req: express.Request<{ room: string }>) => {
    const room: string = req.params.room;
    await socket.sendAsync(room);
  }),
);

app.use('/echo', sockets, (req, _res, next) => {
  const socket: websockets.WebSocketContext | undefined = req.webSocket;
  if (!socket) return next();
  const echo = async (): Promise<void> => {
    for await (const message of socket) await socket.sendAsync(message);
    await socket.closeAsync();
  };
  echo().catch(next);
});

const server = app.listen(0);
sockets.attach(server, app);
