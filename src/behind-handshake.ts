import type { IncomingMessage, ServerResponse } from 'node:http';
import createError from 'http-errors';
import { HandlerRun } from './handler-run.js';
import { bidFarewell, isFarewell } from './upgrade/farewell.js';

/** The callback of a Connect middleware. */
export type NextFunction = (error?: unknown) => void;

/** Performs a handshake, synchronously if it can. */
export type PerformHandshake = (req: IncomingMessage) => HandlerRun | Promise<HandlerRun>;

/** What goes on behind a handshake. */
export type BehindHandshake<Req, Res> = (run: HandlerRun, req: Req, res: Res, next: NextFunction) => void;

/** Goes on with the chain. */
export function proceed(run: HandlerRun, _req: IncomingMessage, _res: ServerResponse, next: NextFunction): void {
  run.proceed(next);
}

/** Performs a handshake and goes on, synchronously if it was. Makes no function for one that was. */
export function whenOpened<Req extends IncomingMessage, Res extends ServerResponse>(
  handshake: PerformHandshake,
  goOn: BehindHandshake<Req, Res>,
  req: Req,
  res: Res,
  next: NextFunction,
): void {
  let run: HandlerRun | Promise<HandlerRun>;
  try {
    run = handshake(req);
  } catch (error) {
    passOn(error, req, res, next);
    return;
  }
  if (run instanceof HandlerRun) goOn(run, req, res, next);
  else goOnLater(run, goOn, req, res, next);
}

function goOnLater<Req extends IncomingMessage, Res extends ServerResponse>(
  opened: Promise<HandlerRun>,
  goOn: BehindHandshake<Req, Res>,
  req: Req,
  res: Res,
  next: NextFunction,
): void {
  opened.then(
    (run) => goOn(run, req, res, next),
    (error) => passOn(error, req, res, next),
  );
}

/** Hands a refusal to the application, unless it is one that nobody is to be bothered with. */
function passOn(error: unknown, req: IncomingMessage, res: ServerResponse, next: NextFunction): void {
  if (isFarewell(error)) bidFarewell(req, res, error);
  else next(error);
}

/** Refuses a plain HTTP request on a WebSocket route. */
export function upgradeRequired(res: ServerResponse, next: NextFunction): void {
  // Error middleware of applications seldom looks at the headers of an error.
  res.setHeader('Upgrade', 'websocket');
  next(
    createError(426, 'This resource speaks WebSocket: connect with ws:// or wss://', {
      headers: { Upgrade: 'websocket' },
    }),
  );
}
