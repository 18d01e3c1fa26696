import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:net';
import finalhandler from 'finalhandler';
import { isThenable } from '../thenable.js';
import { clearTraces } from './express-traces.js';
import { bidFarewell, isFarewell } from './farewell.js';
import { emitRequest, type Listener } from './request-event.js';
import type { UpgradeRequest } from './upgrade-request.js';
import type { WaitingRequest } from './waiting-request.js';

/** An Express or Connect application, or any function that handles a request. May return a promise. */
export type AppFunction = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => unknown;

/** An application and its patience. */
export interface Application {
  readonly app: AppFunction;
  /** Milliseconds until a request that has no answer is refused with 503; 0 waits for ever. */
  readonly handshakeTimeout: number;
}

/**
 * The way of one request through the applications that want it, as if they stood in one chain: it goes on to the next
 * when it comes to the end of one without an answer. What they have done to the response stays; its URL is again what
 * the client sent, which is what their filters saw.
 */
export class Chain implements Listener {
  readonly #applications: readonly Application[];
  readonly #upgrade: UpgradeRequest;
  readonly #waiting: WaitingRequest;
  readonly #url: string | undefined;
  /** Whether somebody outside of the chain may answer what nobody in it has. */
  readonly #hasCompany: () => boolean;
  #position = -1;
  #isWaiting = false;

  constructor(
    applications: readonly Application[],
    upgrade: UpgradeRequest,
    waiting: WaitingRequest,
    hasCompany: () => boolean,
  ) {
    this.#applications = applications;
    this.#upgrade = upgrade;
    this.#waiting = waiting;
    this.#url = upgrade.req.url;
    this.#hasCompany = hasCompany;
  }

  /** Has `server` emit the request, which begins, and looks after it until it is answered. */
  run(server: Server): void {
    const { req, res } = this.#upgrade;
    try {
      emitRequest(server, req, res, this);
    } catch (error) {
      this.#ended(error);
    }
    this.#isWaiting = true;
    const { handshakeTimeout } = this.#applications[Math.max(0, this.#position)] as Application;
    this.#waiting.start(handshakeTimeout);
  }

  /** Asks the first application; once, however often the request comes. */
  begin(): void {
    if (this.#position < 0) this.#proceed();
  }

  /** Asks the next application. */
  #proceed(): void {
    const position = ++this.#position;
    const { app, handshakeTimeout } = this.#applications[position] as Application;
    if (this.#isWaiting && this.#upgrade.phase === 'waiting') this.#waiting.limit(handshakeTimeout);
    const { req, res } = this.#upgrade;
    const next = (error?: unknown): void => this.#left(position, error);
    try {
      const result = app(req, res, next);
      if (isThenable(result)) result.then(undefined, (error: unknown) => next(error ?? rejection()));
    } catch (error) {
      next(error ?? rejection());
    }
  }

  /** The application at `position` has no more to do, or has failed. */
  #left(position: number, error: unknown): void {
    const isLast = position + 1 === this.#applications.length;
    if (error || isLast) {
      this.#ended(error);
    } else if (position === this.#position && this.#isOpen()) {
      this.#rewind();
      this.#proceed();
    }
  }

  /** Whether anybody may still do something about the request. */
  #isOpen(): boolean {
    const { accepted, events } = this.#upgrade;
    if (accepted) return events?.isHandled === false;
    return this.#upgrade.isOurs() && !this.#upgrade.res.headersSent;
  }

  #rewind(): void {
    const { req } = this.#upgrade;
    req.url = this.#url;
    clearTraces(req);
  }

  #ended(error: unknown): void {
    const upgrade = this.#upgrade;
    if (upgrade.accepted) {
      const { events, conclusion } = upgrade;
      if (events === undefined) {
        if (error) logError(error);
      } else if (error && conclusion?.explains()) {
        events.onResponseError(error);
      } else {
        events.onChainEnd(error);
      }
      return;
    }
    const { req, res } = upgrade;
    if (!upgrade.isOurs() || res.writableEnded) {
      if (error && !upgrade.gone) logError(error);
      return;
    }
    if (!error && !res.headersSent && this.#hasCompany()) {
      this.#waiting.unmatched = true;
      return;
    }
    if (isFarewell(error)) bidFarewell(req, res, error);
    else finalhandler(req, res, { onerror: logError })(error);
  }
}

/** What Express reports of a handler that fails without saying why. */
function rejection(): Error {
  return new Error('Rejected promise');
}

/** Where Express and Connect leave an error that nobody handled. */
export function logError(error: unknown): void {
  if (process.env['NODE_ENV'] === 'test') return;
  console.error(error instanceof Error ? (error.stack ?? String(error)) : String(error));
}
