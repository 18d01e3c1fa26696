import express from 'express';
import { createClient } from 'redis';
import { webSockets } from 'websocket-context';
import { redis } from 'websocket-context/redis';

// For your own commands. The backplane makes connections of its own with it, and would not need it connected.
const client = createClient({ url: process.env.REDIS_URL ?? 'redis://localhost:6379' });
client.on('error', () => {}); // it connects again by itself
client.connect().catch(() => {});

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

process.once('SIGTERM', () => void stop());

async function stop(): Promise<void> {
  server.close();
  await sockets.close({ code: 1012, reason: 'restarting' });
  client.destroy(); // yours, so you close it, or the process stays; of ioredis: client.quit()
}
