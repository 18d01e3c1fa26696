import express from 'express';
import { createClient } from 'redis';
import { webSockets } from '../../src/index.js';
import { redis } from '../../src/redis.js';

// One of the processes of backplane.rolling-restart.test.ts: everybody who connects is in one room, and hears what is said there.
const [port = 0, redisPort = 0] = process.argv.slice(2).map(Number);
const app = express();
const sockets = webSockets({
  backplane: redis({ client: createClient({ url: `redis://127.0.0.1:${redisPort}` }) }),
  onBackplane: (status) => {
    if (status === 'ready') process.send?.('ready');
  },
});
const room = sockets.group('room');

app.get(
  '/',
  sockets.handler(async (socket) => {
    await socket.addToGroupAsync(room.name);
    await socket.sendAsync('welcome');
    for await (const message of socket) await room.sendAsync(message);
  }),
);

const server = app.listen(port, '127.0.0.1');
sockets.attach(server, app);

async function stop(): Promise<void> {
  server.close();
  await sockets.close({ code: 1012, reason: 'restarting' });
  process.disconnect();
}

process.once('SIGTERM', () => void stop());
