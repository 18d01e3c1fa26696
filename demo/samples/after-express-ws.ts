import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

app.get(
  '/chat/:room',
  (req, res, next) => (req.query.key === 'secret' ? next() : res.sendStatus(401)), // nobody is refused behind `open`
  sockets.handler(async (socket, req) => {
    const room = sockets.group(`chat:${req.params.room}`);
    await socket.addToGroupAsync(room.name);
    for await (const data of socket) await room.sendAsync(`${req.params.room}: ${data}`); // the members of this room
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
