import express from 'express';
import { type WebSocket, WebSocketServer } from 'ws';

const app = express();
const wss = new WebSocketServer({ noServer: true, maxPayload: 4 * 2 ** 20 });
const alive = new WeakSet<WebSocket>();

export const server = app.listen(process.env.PORT ?? 8080);

server.on('upgrade', (req, socket, head) => {
  socket.on('error', () => {});
  const { pathname, searchParams } = new URL(req.url ?? '/', 'http://localhost');
  if (pathname !== '/echo') return void socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n');
  if (searchParams.get('key') !== 'secret')
    return void socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n');
  wss.handleUpgrade(req, socket, head, (ws) => wss.emit('connection', ws, req));
});

wss.on('connection', (ws) => {
  alive.add(ws);
  ws.on('error', () => {});
  ws.on('pong', () => alive.add(ws));
  ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
});

setInterval(() => {
  for (const ws of wss.clients) {
    if (!alive.delete(ws)) ws.terminate();
    else ws.ping();
  }
}, 30_000);

process.once('SIGTERM', () => {
  for (const ws of wss.clients) ws.close(1001);
  setTimeout(() => wss.clients.forEach((ws) => void ws.terminate()), 5000).unref();
  server.close(() => process.exit());
});
