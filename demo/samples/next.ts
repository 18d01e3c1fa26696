import express from 'express';
import next from 'next';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

const createNext = next as unknown as typeof next.default; // its types do not know ES modules of Node
const pages = createNext({ dev: process.env.NODE_ENV !== 'production', dir: process.env.NEXT_DIR ?? '.' });
await pages.prepare();
const servePage = pages.getRequestHandler();

app.get(
  '/live/echo',
  sockets.handler(async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  }),
);
app.use((req, res) => void servePage(req, res));

export const server = app.listen(process.env.PORT ?? 8080);
// Next has an upgrade listener of its own, for hot reload
sockets.attach(server, app, { filter: (req) => req.url?.startsWith('/live/') === true, exclusive: true });
server.on('close', () => void pages.close());
