import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

app.use('/live', sockets); // the handshake happens here …

app.get('/live/ticker', async (req, _res, next) => {
  const socket = req.webSocket; // … and from here on the context is on req
  if (!socket) return next(); // an ordinary HTTP request

  await socket.sendAsync('tick');
  await socket.closeAsync(1000, 'done'); // resolves when the client has acknowledged
});

app.get('/live/ticker', (_req, res) => {
  res.send('Connect with a WebSocket to hear it tick\n');
});

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
