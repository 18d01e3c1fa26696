import { connect } from '@nats-io/transport-node';
import express from 'express';
import { webSockets } from 'websocket-context';
import { nats } from 'websocket-context/nats';

const connection = connect({
  servers: process.env.NATS_URL ?? 'localhost:4222',
  waitOnFirstConnect: true, // start without a broker, too
  maxReconnectAttempts: -1, // and never give up on it
});

const app = express();
const sockets = webSockets({
  backplane: nats({ connection, prefix: 'chat' }),
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
  await (await connection).close();
}
