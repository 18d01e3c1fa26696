import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import express, { type Express, type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import session from 'express-session';
import createError from 'http-errors';
import { type WebSockets, webSockets } from 'websocket-context';
import { ChatRooms, toName } from './chat.js';
import { laboratory } from './close-laboratory.js';
import { echo } from './echo.js';

declare module 'express-session' {
  interface SessionData {
    /** What the visitor is called in the chat. */
    name: string;
  }
}

/** The demo, ready to be attached to a server. */
export interface Demo {
  readonly app: Express;
  readonly sockets: WebSockets;
  /** Closes the WebSockets as `sockets.close` does, and ends the event streams that would keep the server open. */
  readonly close: WebSockets['close'];
}

// The compiled demo lies in .demo-build, next to demo/.
const root = fileURLToPath(new URL('../demo/public', import.meta.url));

export function createDemo(): Demo {
  const app = express();
  const sockets = webSockets();
  const rooms = new ChatRooms();
  const lab = laboratory(sockets);

  app.disable('x-powered-by');
  app.use(securityHeaders);
  app.use('/assets', express.static(`${root}/assets`));
  app.use(
    session({
      name: 'demo.sid',
      secret: process.env.SESSION_SECRET ?? randomBytes(32).toString('hex'),
      resave: false,
      saveUninitialized: false,
      cookie: { sameSite: 'strict' },
    }),
  );

  // The same address serves a page to a GET and a connection to an upgrade: both are requests to one route.
  const page = (file: string): RequestHandler => {
    return (req, res, next) => (sockets.isWebSocketRequest(req) ? next() : res.sendFile(file, { root }));
  };

  app.get('/', page('index.html'));
  app.get('/echo', page('echo.html'), sockets.handler(echo, { subProtocols: ['report'] }));

  app
    .route('/name')
    .get((req, res) => {
      res.set('Cache-Control', 'no-store').json({ name: req.session.name ?? null });
    })
    .put(express.json({ limit: '1kb' }), (req, res, next) => {
      const name = toName(req.body?.name);
      if (name === undefined) return next(createError(400, 'A name has 1 to 24 visible characters'));
      req.session.name = name;
      res.json({ name });
    });
  app.get('/chat', (_req, res) => res.redirect('/chat/lobby'));
  app.get<{ room: string }>(
    '/chat/:room',
    (req, _res, next) => next(rooms.accepts(req.params.room) ? undefined : createError(404, 'There is no such room')),
    page('chat.html'),
    (req, _res, next) => next(req.session.name ? undefined : createError(401, 'Choose a name first')),
    sockets.handler((socket, req: Request<{ room: string }>) => rooms.visit(socket, req), { maxPayload: 4096 }),
  );

  app.use('/close-laboratory', lab.router);
  app.get('/close-laboratory', page('close-laboratory.html'), lab.handlers);

  app.use((_req, _res, next) => next(createError(404, 'There is nothing at this address')));
  app.use(sendError);

  return {
    app,
    sockets,
    async close(options) {
      const report = await sockets.close(options);
      lab.close();
      return report;
    },
  };
}

function securityHeaders(_req: Request, res: Response, next: NextFunction): void {
  res.set({
    'Content-Security-Policy':
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
      "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
  });
  next();
}

// Express recognises error middleware by its four parameters.
function sendError(error: unknown, _req: Request, res: Response, next: NextFunction): void {
  if (res.headersSent) {
    next(error);
    return;
  }
  // Keeps the status of an error that has one, as those of Express itself do.
  const known = error instanceof Error ? createError(error) : createError(500);
  if (known.status >= 500) console.error(error);
  res
    .status(known.status)
    .set(known.headers ?? {})
    .type('text')
    .send(`${known.expose ? known.message : 'Something went wrong on the server'}\n`);
}
