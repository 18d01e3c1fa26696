import express from 'express';
import { createServer } from 'vite';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

app.get(
  '/echo',
  sockets.handler(async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app, { filter: (req) => req.headers['sec-websocket-protocol'] !== 'vite-hmr' });

const vite = await createServer({
  server: { middlewareMode: { server }, hmr: { server } }, // one port for pages, hot reload and ours
  appType: 'custom',
});
app.use(vite.middlewares);
server.on('close', () => void vite.close());
