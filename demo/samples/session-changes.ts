import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import express from 'express';
import session from 'express-session';
import createError from 'http-errors';
import { webSockets } from 'websocket-context';

declare module 'express-session' {
  interface SessionData {
    draft: string;
    seen: number;
  }
}

const app = express();
const sockets = webSockets();
app.use(session({ secret: randomBytes(32).toString('hex'), resave: false, saveUninitialized: false }));
app.post('/login', ({ session }, res) => void res.json(Object.assign(session, { draft: '', seen: 0 }).seen));
app.post('/logout', (req, res, next) => req.session.destroy((error) => (error ? next(error) : res.sendStatus(204))));
app.post('/seen', ({ session }, res) => void res.json(Object.assign(session, { seen: Number(session.seen) + 1 }).seen));
app.get('/session', ({ session: { draft, seen } }, res) => void res.json({ draft, seen }));

app.get(
  '/draft',
  (req, res, next) => (req.session.draft === undefined ? res.sendStatus(401) : next()),
  sockets.handler(async (socket, req) => {
    for await (const draft of socket) {
      // What other requests have stored since the handshake, or that the session has ended
      await promisify(req.session.reload)
        .call(req.session)
        .catch(() => Promise.reject(createError(401, 'Signed out')));
      req.session.draft = String(draft); // of the session as it is now
      await promisify(req.session.save).call(req.session);
    }
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
