import type { IncomingMessage } from 'node:http';
import express from 'express';
import { type WebSocketContext, webSockets } from 'websocket-context';

const tenants = new Map([['acme.example.com', { origins: ['https://acme.example', 'https://www.acme.example'] }]]);

const app = express();
const sockets = webSockets({ origin: ['https://app.example.com', 'https://admin.example.com'] }); // a list

app.get('/private', sockets.handler(greet));
app.get('/tenant', sockets.handler(greet, { origin: isOfTenant })); // a decision, may be asynchronous
app.get('/public', sockets.handler(greet, { origin: 'any' })); // public data only

async function isOfTenant(origin: string, req: IncomingMessage): Promise<boolean> {
  const tenant = tenants.get(req.headers.host ?? '');
  return tenant?.origins.includes(origin) === true;
}

async function greet(socket: WebSocketContext): Promise<void> {
  await socket.sendAsync(`Hello, ${socket.origin}`);
}

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
