import express from 'express';
import { webSockets } from 'websocket-context';

const users = new Map([['4f0c', 'Ada']]);

const app = express();
const sockets = webSockets();

app.get('/account', async (req, res, next) => {
  if (!sockets.isWebSocketRequest(req)) return next();

  // Still plain HTTP: any status, any header, a body.
  const user = users.get(req.get('authorization')?.replace(/^Bearer /, '') ?? '');
  if (!user) return res.status(401).set('WWW-Authenticate', 'Bearer').json({ error: 'Sign in first' });

  const socket = await sockets.accept(req);
  await socket.sendAsync(`Hello, ${user}`);
  await socket.closeAsync(1000, 'done');
});

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
