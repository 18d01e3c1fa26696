import express from 'express';
import { type WebSocketContext, webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

app.get('/echo', sockets.handler(echo)); // a route handler; a plain GET gets 426

app.use('/live', sockets); // handshake here, req.webSocket from here on
app.get('/live/echo', (req, _res, next) => (req.webSocket ? echo(req.webSocket) : next()));

app.get('/manual', async (req, _res, next) => {
  if (!sockets.isWebSocketRequest(req)) return next(); // decide first, accept later
  await echo(await sockets.accept(req));
});

async function echo(socket: WebSocketContext): Promise<void> {
  for await (const message of socket) await socket.sendAsync(message);
  await socket.closeAsync(); // a route handler does this by itself
}

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
