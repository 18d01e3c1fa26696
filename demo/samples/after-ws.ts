import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

app.get(
  '/echo',
  (req, res, next) => (req.query.key === 'secret' ? next() : res.sendStatus(401)),
  sockets.handler(async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);

process.once('SIGTERM', () => void sockets.close({ timeout: 5000 }).then(() => server.close()));
