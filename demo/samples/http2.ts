import { readFileSync } from 'node:fs';
import { createSecureServer } from 'node:http2';
import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

app.get(
  '/echo',
  sockets.handler(async (socket, req) => {
    console.log(`HTTP/${req.httpVersion}`);
    for await (const message of socket) await socket.sendAsync(message);
  }),
);

export const server = createSecureServer(
  {
    key: readFileSync(process.env.TLS_KEY ?? 'key.pem'),
    cert: readFileSync(process.env.TLS_CERT ?? 'cert.pem'),
    // For clients of HTTP/1.1, and Chromium where it has no session with this server yet
    allowHTTP1: true,
    // Without it nobody opens a WebSocket over HTTP/2
    settings: { enableConnectProtocol: true },
  },
  // Ordinary requests: not those of Express 5, which knows only HTTP/1.1
  (_req, res) => void res.end('a page\n'),
);
sockets.attach(server, app);
server.listen(process.env.PORT ?? 8443);
