import { json, type Request, type RequestHandler, Router } from 'express';
import createError from 'http-errors';
import type { WebSockets } from 'websocket-context';
import { experiments, run } from './experiments.js';
import { RawClient } from './raw-client.js';
import { ServerSide } from './server-side.js';
import { now, type Timeline, Timelines } from './timeline.js';

/** The close laboratory: its second channel, and the route of the connections under test. */
export interface Laboratory {
  /** `timeline`, `clock`, `opened` and `peers`. */
  readonly router: Router;
  /** Serve a connection under test: `?timeline=…&experiment=…&code=…&reason=…`. */
  readonly handlers: RequestHandler[];
  /** Ends the event streams. */
  readonly close: () => void;
}

export function laboratory(sockets: WebSockets): Laboratory {
  const timelines = new Timelines();
  const peers = new WeakMap<Timeline, RawClient>();
  const router = Router();

  router.get('/timeline', (req, res) => timelines.open(req, res));

  // The page asks a few times and takes the quickest answer: then both sides' entries are on one clock.
  router.get('/clock', (_req, res) => {
    res.set('Cache-Control', 'no-store').json({ now: now() });
  });

  // Browsers send JSON to another origin only after a preflight, which nobody here answers.
  router.post('/peers', json({ limit: '1kb' }), (req, res, next) => {
    const { timeline: id, experiment, code, reason } = { ...req.body };
    const timeline = timelines.get(id);
    const habit = experiments.get(experiment)?.peer;
    const port = req.socket.localPort;
    if (!timeline || !habit || port === undefined) return next(createError(400, 'Unknown timeline or experiment'));

    const query = new URLSearchParams({ timeline: id, experiment, code: `${code ?? ''}`, reason: `${reason ?? ''}` });
    const path = `/close-laboratory?${query}`;
    peers.set(timeline, new RawClient(port, path, habit, (entry) => timeline.record(entry)));
    res.sendStatus(202);
  });

  // Only the page knows when its connection is open; a note to an id that nobody else has needs no more protection.
  router.post('/opened', json({ limit: '1kb' }), (req, res, next) => {
    const timeline = timelines.get({ ...req.body }.timeline);
    if (!timeline) return next(createError(400, 'Unknown timeline'));
    timeline.tellOpen();
    res.sendStatus(204);
  });

  const refuseStrangers: RequestHandler = (req, _res, next) => {
    const known = timelines.get(req.query.timeline) && experiments.has(String(req.query.experiment));
    next(known ? undefined : createError(400, 'Unknown timeline or experiment'));
  };

  const serve = sockets.handler(
    async (socket, req: Request) => {
      const { timeline: id, experiment: name, code, reason } = req.query;
      const timeline = timelines.get(id);
      const experiment = experiments.get(String(name));
      // The page may have gone in the meantime; returning closes the connection.
      if (!timeline || !experiment) return;
      const peer = peers.get(timeline);
      await run(experiment, {
        socket,
        server: new ServerSide(timeline, socket),
        code: typeof code === 'string' && code !== '' ? Number(code) : undefined,
        reason: typeof reason === 'string' && reason !== '' ? reason : undefined,
        peer,
        opened: experiment.peer ? Promise.resolve() : timeline.nextOpen(),
      });
    },
    // Short, so that a visitor who waits for a timeout does not wait long.
    { closeTimeout: 3000 },
  );

  return { router, handlers: [refuseStrangers, serve], close: () => timelines.endAll() };
}
