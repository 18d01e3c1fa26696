import { randomUUID } from 'node:crypto';
import express from 'express';
import { webSockets } from 'websocket-context';

const users = new Map([['4f0c', 'Ada']]);
const tickets = new Map<unknown, string>(); // of one process; several processes: your database

const app = express();
const sockets = webSockets();

// The page asks for a ticket over HTTP, with whatever it signs in with …
app.post('/ticket', (req, res) => {
  const user = users.get(req.get('authorization')?.replace(/^Bearer /, '') ?? '');
  if (!user) return void res.sendStatus(401);
  const ticket = randomUUID();
  tickets.set(ticket, user);
  setTimeout(() => tickets.delete(ticket), 30_000).unref();
  res.json({ ticket });
});

// … and connects with new WebSocket(`/account?ticket=${ticket}`). A ticket is good for one handshake.
app.get(
  '/account',
  (req, res, next) => {
    res.locals.user = tickets.get(req.query.ticket);
    return tickets.delete(req.query.ticket) ? next() : void res.sendStatus(401);
  },
  sockets.handler((socket) => socket.sendAsync(`Hello, ${socket.items.user}`)),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
