import { createServer } from 'node:http2';
import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
app.set('trust proxy', 'loopback');
const sockets = webSockets();

app.get('/', (_req, res) => void res.send('a page'));
app.get(
  '/echo',
  sockets.handler(async (socket, req) => {
    for await (const message of socket) await socket.sendAsync(`by HTTP/${req.httpVersion}: ${message}`);
  }),
);

// Pages, by HTTP/1.1
export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);

// WebSockets, by HTTP/2
const overHttp2 = createServer({ settings: { enableConnectProtocol: true } });
sockets.attach(overHttp2, app);
overHttp2.listen(process.env.HTTP2_PORT ?? 8081);
