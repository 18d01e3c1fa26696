import type { IncomingMessage } from 'node:http';
import { bareObject } from './bare-object.js';
import { early } from './layout.js';

/** What Express and Connect leave on a request on its way through them. */
export interface ExpressTraces {
  baseUrl?: string | undefined;
  originalUrl?: string | undefined;
  params?: Record<string, unknown> | undefined;
  next?: unknown;
  route?: unknown;
  _parsedUrl?: unknown;
}

/** A symbol of its own that the router of Express 5 adds to requests, once it has been seen. */
let matchedRoute: symbol | undefined;

function isMatchedRoute({ description }: symbol): boolean {
  return description === 'router.tracing.matchedRoute';
}

/** The request is as if no application had seen it; its URL aside. */
export function clearTraces(req: IncomingMessage & ExpressTraces): void {
  req.baseUrl = req.originalUrl = req.params = req.next = undefined;
  req.route = req._parsedUrl = undefined;
}

/** What Express is about to set on a request is there before, if that is when to add it. */
export const makeRoomForTraces: (req: IncomingMessage & ExpressTraces) => void = early((req) => {
  clearTraces(req);
  if (matchedRoute !== undefined) (req as object as Record<symbol, unknown>)[matchedRoute] = undefined;
});

/** Looks for what {@link makeRoomForTraces} cannot know before an application has had a request. */
export function learnTraces(req: IncomingMessage): void {
  matchedRoute ??= Object.getOwnPropertySymbols(req).find(isMatchedRoute);
}

/**
 * The chain ends here: Express would keep the rest of it, and the parts of the URL, for as long as the connection lives,
 * and the parameters in a hash table.
 */
export function leaveChain(req: ExpressTraces): void {
  req.next = undefined;
  req._parsedUrl = undefined;
  if (Object.getPrototypeOf(Object(req.params)) === null) req.params = bareObject(req.params);
}
