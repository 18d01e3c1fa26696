import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();
const room = sockets.group('room');

app.get(
  '/room',
  sockets.handler(async (socket, req) => {
    socket.items['name'] = String(req.query['name']); // what you know of a connection; `items` is `res.locals`
    await socket.addToGroupAsync(room.name);
    await socket.closed;
  }),
);

// Who is in it, in this process.
app.get('/members', (_req, res) => {
  res.json(Array.from(room.members, ({ items }) => items['name']));
});

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
