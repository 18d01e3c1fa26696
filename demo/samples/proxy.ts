import express from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();
const proxy = createProxyMiddleware({ target: process.env.UPSTREAM ?? 'http://localhost:9000' });

app.get('/upstream', (req, res, next) => {
  if (req.query.key !== 'secret') return void res.sendStatus(401); // decided here, behind your own authentication
  if (!sockets.isWebSocketRequest(req)) return next();
  proxy.upgrade(req, req.socket, Buffer.alloc(0)); // from here on the proxy has the socket
});
app.use('/upstream', proxy); // ordinary requests

app.get(
  '/echo',
  sockets.handler(async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
