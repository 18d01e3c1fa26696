import { randomBytes } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import { fileURLToPath } from 'node:url';
import express, { type Express, type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import session from 'express-session';
import createError from 'http-errors';
import { type WebSockets, webSockets } from 'websocket-context';
import { Broadcast } from './broadcast.js';
import type { Broker } from './broker.js';
import { ChatRooms, toName } from './chat.js';
import { laboratory } from './close-laboratory.js';
import { documentation } from './docs.js';
import { echo } from './echo.js';
import { inFrame, page, root } from './pages.js';
import { takeUpload, watchUpload } from './stream.js';

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

/** With a broker, groups reach a second process of the demo, which listens on `secondPort`. */
export interface DemoOptions {
  readonly broker?: Broker | undefined;
  readonly secondPort?: number | undefined;
}

export function createDemo({ broker, secondPort }: DemoOptions = {}): Demo {
  const app = express();
  const sockets = webSockets({ backplane: broker?.backplane });
  const rooms = new ChatRooms(sockets);
  const broadcast = new Broadcast(sockets, broker, secondPort);
  const lab = laboratory(sockets);

  app.disable('x-powered-by');
  app.use(securityHeaders);
  app.use('/assets', express.static(`${root}public/assets`));
  for (const [name, file] of [
    ['uplot.js', 'uPlot.esm.js'],
    ['uplot.css', 'uPlot.min.css'],
  ] as const) {
    const path = fileURLToPath(import.meta.resolve(`uplot/dist/${file}`));
    app.get(`/assets/${name}`, (_req, res) => res.sendFile(path));
  }
  app.use(
    session({
      // Two processes on one host share its cookies, but not their sessions.
      name: process.env.DEMO_IS_SECOND ? 'demo.second' : 'demo.sid',
      secret: process.env.SESSION_SECRET ?? randomBytes(32).toString('hex'),
      resave: false,
      saveUninitialized: false,
      cookie: { sameSite: 'strict' },
    }),
  );

  // The same address serves a page to a GET and a connection to an upgrade: both are requests to one route.
  const pageOr = (...[name, path, files, doc]: Parameters<typeof page>): RequestHandler => {
    const send = page(name, path, files, doc);
    return (req, res, next) => (sockets.isWebSocketRequest(req) ? next() : send(req, res, next));
  };

  app.get('/', page('index', '/'));
  app.get(
    '/echo',
    pageOr('echo', '/echo', ['echo.ts'], 'how-to/streaming.md'),
    sockets.handler(echo, { subProtocols: ['report'] }),
  );

  app.get(
    '/stream',
    pageOr('stream', '/stream', ['stream.ts'], 'how-to/streaming.md'),
    sockets.handler(takeUpload, { receiveBufferLimit: 256 * 1024 }),
  );
  app.get('/stream/watch', sockets.handler(watchUpload, { maxConnections: 100 }));

  app.get(
    '/broadcast',
    pageOr(
      'broadcast',
      '/broadcast',
      ['broadcast.ts', 'broadcast-clients.ts', 'broker.ts'],
      'how-to/rooms-and-broadcast.md',
    ),
    broadcast.watch,
  );
  app.get('/broadcast/member', broadcast.member);

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
    pageOr('chat', '/chat/lobby', ['chat.ts'], 'how-to/rooms-and-broadcast.md'),
    (req, _res, next) => next(req.session.name ? undefined : createError(401, 'Choose a name first')),
    sockets.handler((socket, req: Request<{ room: string }>) => rooms.visit(socket, req), { maxPayload: 4096 }),
  );

  app.use('/close-laboratory', lab.router);
  app.get(
    '/close-laboratory',
    pageOr(
      'close-laboratory',
      '/close-laboratory',
      ['experiments.ts', 'close-laboratory.ts', 'server-side.ts', 'timeline.ts', 'raw-client.ts'],
      'topics/close-handshake.md',
    ),
    lab.handlers,
  );
  app.use(documentation());

  app.use((_req, _res, next) => next(createError(404, 'There is nothing at this address')));
  app.use(sendError);

  return {
    app,
    sockets,
    async close(options) {
      broadcast.close();
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
function sendError(error: unknown, req: Request, res: Response, next: NextFunction): void {
  if (res.headersSent) {
    next(error);
    return;
  }
  // Keeps the status of an error that has one, as those of Express itself do.
  const { status, expose, message, headers = {} } = error instanceof Error ? createError(error) : createError(500);
  if (status >= 500) console.error(error);
  const text = expose ? message : 'Something went wrong on the server';
  res.status(status).set(headers);
  if (req.accepts(['text', 'html']) === 'html') res.type('html').send(errorPage(status, text));
  else res.type('text').send(`${text}\n`);
}

function errorPage(status: number, text: string): string {
  const title = `${status} ${STATUS_CODES[status]}`;
  const safe = text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
  const main = `<main id="main">
    <h1>${title}</h1>
    <p class="lead">${safe}.</p>
    <p><a href="/">Back to the start page</a></p>
  </main>`;
  return inFrame({ title, path: '', main });
}
