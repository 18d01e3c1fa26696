import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
// One proxy in front, on this machine: its X-Forwarded-* headers are believed, nobody else's.
app.set('trust proxy', 'loopback');

const sockets = webSockets({
  // Less than the proxy's idle timeout (60 s in nginx), so that a quiet connection is not taken for a dead one.
  keepAliveInterval: 25_000,
});

app.get(
  '/address',
  sockets.handler(async (socket, req) => {
    await socket.sendAsync(`${req.protocol}://${req.hostname} for ${req.ip}`);
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
