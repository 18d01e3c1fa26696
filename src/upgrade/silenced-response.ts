import { type IncomingMessage, ServerResponse } from 'node:http';
import { Conclusion } from './conclusion.js';
import type { UpgradeRequest } from './upgrade-request.js';
import {
  callBack,
  createUpgradeResponse,
  finishSilently,
  isEndedBy,
  SWITCHING_PROTOCOLS,
  upgradeOf,
  type WithLocals,
  watchAfterlife,
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
  if (upgrade.events?.isHandled !== true) watchAfterlife(res);
}

/** What the request of a connection keeps of its response: its methods and its locals, but nothing that it has said. */
class FormerResponse {
  readonly #req: IncomingMessage;
  readonly #prototype: object;
  readonly #locals: unknown;
  #again: ServerResponse | undefined;

  constructor(res: WithLocals) {
    this.#req = res.req;
    this.#prototype = Object.getPrototypeOf(res);
    this.#locals = res.locals;
  }

  /** A response that is over, in its place. */
  get again(): ServerResponse {
    if (this.#again !== undefined) return this.#again;
    const res: WithLocals = Object.setPrototypeOf(
      createUpgradeResponse(this.#req, ServerResponse.prototype),
      this.#prototype,
    );
    this.#again = res;
    res.locals = this.#locals;
    res.writeHead(SWITCHING_PROTOCOLS);
    finishSilently(res);
    silenceResponse(res);
    watchAfterlife(res);
    return res;
  }
}

const makesAgain: ProxyHandler<FormerResponse> = {
  get: (former, property) => Reflect.get(former.again, property),
  set: (former, property, value) => Reflect.set(former.again, property, value),
  has: (former, property) => Reflect.has(former.again, property),
  ownKeys: (former) => Reflect.ownKeys(former.again),
  getOwnPropertyDescriptor: (former, property) => Reflect.getOwnPropertyDescriptor(former.again, property),
  // What cannot be configured would have to be the proxy's own.
  defineProperty: (former, property, descriptor) =>
    Reflect.defineProperty(former.again, property, { ...descriptor, configurable: true }),
  deleteProperty: (former, property) => Reflect.deleteProperty(former.again, property),
  getPrototypeOf: (former) => Reflect.getPrototypeOf(former.again),
  setPrototypeOf: (former, prototype) => Reflect.setPrototypeOf(former.again, prototype),
};

/**
 * Stands for a response that is let go of: made again for the first who looks at it, because it takes 1.3 KiB. An accessor
 * on the request would do as well, but Express has a property of that name there before, which V8 does not
 * like to be made one.
 */
export function formerResponse(res: ServerResponse): ServerResponse {
  return new Proxy<object>(new FormerResponse(res), makesAgain as ProxyHandler<object>) as ServerResponse;
}
