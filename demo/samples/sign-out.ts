import { randomBytes } from 'node:crypto';
import express from 'express';
import session from 'express-session';
import { webSockets } from 'websocket-context';

declare module 'express-session' {
  interface SessionData {
    user: string;
  }
}

const app = express();
const sockets = webSockets();
app.use(session({ secret: randomBytes(32).toString('hex'), resave: false, saveUninitialized: false }));
app.post('/login', (req, res) => {
  req.session.user = 'ada'; // here you check a password
  res.sendStatus(204);
});

app.get(
  '/account',
  (req, res, next) => (req.session.user ? next() : res.sendStatus(401)),
  sockets.handler(async (socket, req) => {
    await socket.addToGroupAsync(`user:${req.session.user}`);
    for await (const message of socket) await socket.sendAsync(message);
  }),
);

app.post('/logout', (req, res, next) => {
  const { user } = req.session;
  req.session.destroy((error) => {
    if (error) return next(error);
    void sockets.group(`user:${user}`).closeAsync(4401, 'signed out'); // with a backplane: in all processes
    res.sendStatus(204);
  });
});

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
