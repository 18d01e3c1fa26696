import type { IncomingMessage, ServerResponse } from 'node:http';
import { Conclusion } from './conclusion.js';
import type { FormerResponse, UpgradeRequest } from './upgrade-request.js';
import {
  callBack,
  createUpgradeResponse,
  finishSilently,
  isEndedBy,
  SWITCHING_PROTOCOLS,
  upgradeOf,
  type WithLocals,
} from './upgrade-response.js';

/**
 * Makes everything that is still done to `res` mean nothing: no byte, no exception, no `error` event. This lies on top of
 * everything; without it the wrappers of middleware would go on collecting what will never be sent.
 */
export function silenceResponse(res: ServerResponse): void {
  res.writeHead = ignore;
  res.flushHeaders = ignore;
  res.write = writeAgain;
  res.end = endAgain;
  upgradeOf(res).afterlife = 'untouched';
}

function ignore(this: ServerResponse): ServerResponse {
  return this;
}

function writeAgain(this: ServerResponse, ...args: unknown[]): boolean {
  upgradeOf(this).afterlife = 'written';
  callBack(args);
  return true;
}

function endAgain(this: ServerResponse, ...args: unknown[]): ServerResponse {
  callBack(args);
  const { events, afterlife, conclusion } = upgradeOf(this);
  // It is an error of the end of the response that somebody has taken care of
  if (conclusion?.explains()) return this;
  const [chunk] = args;
  const isBare = chunk === undefined || chunk === null || typeof chunk === 'function';
  events?.onResponseEnd(this.statusCode, isBare && afterlife === 'examined' && this.statusCode === SWITCHING_PROTOCOLS);
  return this;
}

/** Ends `res` for those who act on its end: sessions are stored, requests logged. Nothing of it reaches the socket. */
export function concludeResponse(res: ServerResponse, upgrade: UpgradeRequest): void {
  try {
    if (isEndedBy(res)) {
      res.end();
    } else {
      const conclusion = new Conclusion(() => res.end !== endAgain);
      upgrade.conclusion = conclusion;
      conclusion.begin(() => res.end());
    }
  } catch (error) {
    upgrade.events?.onResponseError(error);
  }
  silenceResponse(res);
}

/** What the request of a connection keeps of its response: its methods and its locals, but nothing that it has said. */
export class SilencedResponse implements FormerResponse {
  readonly #prototype: object;
  readonly #locals: unknown;

  constructor(res: WithLocals) {
    this.#prototype = Object.getPrototypeOf(res);
    this.#locals = res.locals;
  }

  recreate(req: IncomingMessage): ServerResponse {
    const res: WithLocals = Object.setPrototypeOf(createUpgradeResponse(req), this.#prototype);
    res.locals = this.#locals;
    res.writeHead(SWITCHING_PROTOCOLS);
    finishSilently(res);
    silenceResponse(res);
    return res;
  }
}
