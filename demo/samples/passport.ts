import { randomBytes } from 'node:crypto';
import express, { type Request } from 'express';
import session from 'express-session';
import passport from 'passport';
import { Strategy } from 'passport-local';
import { type WebSocketContext, webSockets } from 'websocket-context';

passport.use(new Strategy((username, password, done) => done(null, password === 'secret' && { username })));
passport.serializeUser((user, done) => done(null, user));
passport.deserializeUser((user: Express.User, done) => done(null, user));

const secret = randomBytes(32).toString('hex');
const cookie = { maxAge: Number(process.env.SESSION_MS ?? 3_600_000) };

const app = express();
const sockets = webSockets();

app.use(session({ secret, cookie, resave: false, saveUninitialized: false }), passport.session());
app.use('/account', (req, res, next) => (req.isAuthenticated() ? next() : res.sendStatus(401)));
app.get('/account', sockets.handler(serve));

app.post('/login', express.urlencoded(), passport.authenticate('local'), (_req, res) => void res.sendStatus(204));

async function serve(socket: WebSocketContext, req: Request): Promise<void> {
  const remaining = req.session.cookie.maxAge;
  const expiry = setTimeout(() => void socket.closeAsync(4401, 'session expired').catch(() => {}), remaining);
  socket.signal.addEventListener('abort', () => clearTimeout(expiry));

  await socket.sendAsync(`Hello, ${JSON.stringify(socket.user)}`);
  for await (const message of socket) await socket.sendAsync(message);
}

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
