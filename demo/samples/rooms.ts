import express from 'express';
import createError from 'http-errors';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

// Before the handshake, so that no client can make a handler fail: names of groups have at most 256 bytes.
app.use('/rooms/:room', (req, _res, next) =>
  next(/^[\w-]{1,64}$/.test(req.params.room) ? undefined : createError(400, 'Not the name of a room')),
);
app.get(
  '/rooms/:room',
  sockets.handler(async (socket, req) => {
    const room = sockets.group(`room:${req.params.room}`);
    await socket.addToGroupAsync(room.name);
    await room.sendAsync(`somebody came, we are ${room.size}`, { except: socket });
    try {
      for await (const message of socket) await room.sendAsync(message, { except: socket });
    } finally {
      // After the client's close, and also when it has vanished: then the loop throws.
      await socket.removeFromGroupAsync(room.name);
      await room.sendAsync(`somebody left, we are ${room.size}`);
    }
  }),
);

// From anywhere else in the application, such as a job or another route.
app.post('/announce', express.text(), async (req, res) => {
  const { members } = await sockets.all.sendAsync(req.body);
  res.json({ members });
});

app.delete('/rooms/:room', async (req, res) => {
  await sockets.group(`room:${req.params.room}`).closeAsync(4000, 'This room is closed');
  res.sendStatus(204);
});

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
