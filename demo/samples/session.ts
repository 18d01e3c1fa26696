import { randomBytes } from 'node:crypto';
import express from 'express';
import session from 'express-session';
import { webSockets } from 'websocket-context';

declare module 'express-session' {
  interface SessionData {
    visits: number;
  }
}

const app = express();
const sockets = webSockets();

app.use(session({ secret: randomBytes(32).toString('hex'), resave: false, saveUninitialized: false }));
app.use((req, _res, next) => {
  req.session.visits = (req.session.visits ?? 0) + 1;
  next();
});

// What stands above has run when the handshake is made: its cookie is on the 101, and the session is stored.
app.get(
  '/visits',
  sockets.handler(async (socket, req) => {
    await socket.sendAsync(`Visit ${req.session.visits}`);
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
