import express from 'express';
import { createClient } from 'redis';
import { webSockets } from 'websocket-context';
import { redis } from 'websocket-context/redis';

// Says where Redis is; the backplane makes connections of its own with it.
const client = createClient({ url: process.env.REDIS_URL ?? 'redis://localhost:6379' });

const app = express();
const sockets = webSockets({
  backplane: redis({ client, prefix: 'chat:' }),
  onBackplane: (status, error) => console.log('backplane', status, error?.message ?? ''),
});

app.get(
  '/rooms/:room',
  sockets.handler(async (socket, req) => {
    const room = sockets.group(`room:${req.params.room}`);
    await socket.addToGroupAsync(room.name);
    for await (const message of socket) await room.sendAsync(message, { except: socket });
  }),
);

app.get('/rooms/:room/count', async (req, res) => {
  res.json(await sockets.group(`room:${req.params.room}`).countAsync());
});

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);

process.once('SIGTERM', () => {
  server.close();
  void sockets.close({ code: 1012, reason: 'restarting' });
});
