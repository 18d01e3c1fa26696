import express from 'express';
import { type WebSocketContext, webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

app.get<{ room: string }>(
  '/rooms/:room',
  sockets.handler(async (socket, req) => {
    const room: string = req.params.room;
    await socket.sendAsync(room);
  }),
);

// Express's own request, without an annotation.
app.get(
  '/search',
  sockets.handler(async (socket, req, res) => {
    const address: string | undefined = req.ip;
    await socket.sendAsync(`${address} ${req.query['q']} ${req.get('User-Agent')} ${res.locals['x']}`);
  }),
);

app.get('/manual', async (req, _res, next) => {
  if (!sockets.isWebSocketRequest(req)) return next();
  const socket: WebSocketContext = await sockets.accept(req, { subProtocols: sockets.requestedProtocols(req) });
  await socket.closeAsync(1000, 'done');
});

app.use('/echo', sockets);
app.get('/echo', async (req, _res, next) => {
  const socket: WebSocketContext | undefined = req.webSocket;
  if (!socket) return next();
  for await (const message of socket) await socket.sendAsync(message);
  await socket.closeAsync();
});

const server = app.listen(0);
sockets.attach(server, app);
