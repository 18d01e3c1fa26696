import type { IncomingMessage } from 'node:http';
import { inspect } from 'node:util';
import createError, { isHttpError } from 'http-errors';
import { fitDescription } from './connection/closing/close-status.js';
import { isMistake } from './connection/failures.js';
import { isTerminal } from './connection/state.js';
import type { WebSocketContext } from './context/web-socket-context.js';
import { publishError } from './diagnostics.js';
import { WebSocketError } from './errors.js';
import type { Member } from './member.js';
import type { HandlerErrorInfo, ResolvedRouteOptions } from './options.js';
import { isThenable } from './thenable.js';
import type { AcceptedRequestEvents } from './upgrade/upgrade-request.js';
import { SWITCHING_PROTOCOLS } from './upgrade/upgrade-response.js';
import { warnOnce } from './warn-once.js';

/** Close status of a connection that no route wanted, after HTTP's 404. */
const NOT_FOUND = 4404;
const INTERNAL_ERROR = 1011;

/** An `onError` that fails has nobody above it; the process is not to end for it. */
function warn(error: unknown): void {
  process.emitWarning(`The onError option of webSockets() failed: ${inspect(error)}`, 'WebSocketOnErrorWarning');
}

/** Whether a client can cause an error at any time: by what it asks for, by leaving, by breaking the protocol. */
function isExpected(error: unknown): boolean {
  if (isHttpError(error)) return error.status < 500;
  return error instanceof WebSocketError && !isMistake(error);
}

/**
 * What happens to errors without an `onError` option: as Express does with those that no error middleware takes, a
 * programming error is printed.
 */
function logUnexpected(
  error: unknown,
  _socket: WebSocketContext,
  _req: IncomingMessage,
  { expected }: HandlerErrorInfo,
): void {
  if (expected || process.env['NODE_ENV'] === 'test') return;
  console.error(error instanceof Error ? (error.stack ?? error.message) : error);
}

/** Close status that stands for an HTTP status: 4000 + status for what the client did wrong, otherwise 1011. */
function closeStatusOf(httpStatus: number): number {
  return Number.isInteger(httpStatus) && httpStatus >= 400 && httpStatus < 500 ? 4000 + httpStatus : INTERNAL_ERROR;
}

/** What is known of an error that the application has answered itself. */
function answered(statusCode: number): Error {
  const message = `Cannot answer with status ${statusCode}: the WebSocket was open already, and has been closed instead`;
  return createError(statusCode, message, { expose: false });
}

function resigned(): Error {
  return new Error(
    'An error handler of the application found the response sent and only ended it: the WebSocket has been closed, pass errors behind the handshake on with next(error) to see them here',
  );
}

/** Tells, once in a process, that an answer behind the handshake reaches nobody. */
function warnOfSpentResponse(statusCode: number): void {
  warnOnce(
    `A response with status ${statusCode} has been sent after the handshake, where it reaches nobody: res is spent in a handler. ` +
      'Check in a middleware before sockets.handler(), or throw createError(401) of http-errors, which closes with 4401',
    { type: 'WebSocketResponseWarning', code: 'WEBSOCKET_SPENT_RESPONSE' },
  );
}

/**
 * Who decides what becomes of a connection: `chain`, if somebody in the chain of middleware has taken it up; `handler`, if one
 * has it or is about to get it.
 */
type Holder = 'nobody' | 'chain' | 'handler';

/** What is known of a run before it begins. */
export interface HandlerRunOptions extends Pick<ResolvedRouteOptions, 'onError'> {
  readonly owner: object;
  /** Whether a handler is about to get the connection. */
  readonly isHandled: boolean;
}

/** One connection from the view of the application's code: what its handlers do, and how they end. */
export class HandlerRun implements AcceptedRequestEvents {
  readonly #member: Member;
  /** Gets the errors. A handler that takes the connection over brings its own. */
  onError: ResolvedRouteOptions['onError'];
  /** Something of the instance that has accepted the connection, which tells it from every other instance. */
  readonly owner: object;
  #holder: Holder;
  #answered = false;

  constructor(member: Member, { owner, onError, isHandled }: HandlerRunOptions) {
    this.#member = member;
    this.owner = owner;
    this.onError = onError;
    this.#holder = isHandled ? 'handler' : 'nobody';
  }

  /** A handler has the connection: it alone decides what becomes of it. */
  get isHandled(): boolean {
    return this.#holder === 'handler';
  }

  /** Gives the connection to somebody in the chain, who looks after it from now on. */
  claim(): WebSocketContext {
    if (this.#holder === 'nobody') this.#holder = 'chain';
    return this.#member.context;
  }

  /** Goes on with the chain of middleware behind the handshake. */
  proceed(next: () => void): void {
    try {
      next();
    } catch (error) {
      this.onChainEnd(error);
    }
  }

  /** Gives the connection to a handler until that has returned, or failed. */
  run<Req, Res>(handler: (socket: WebSocketContext, req: Req, res: Res) => unknown, req: Req, res: Res): void {
    this.#holder = 'handler';
    let outcome: unknown;
    try {
      outcome = handler(this.#member.context, req, res);
    } catch (error) {
      this.fail(error);
      return;
    }
    this.#follow(outcome);
  }

  // Apart from `run`, so that what is kept until the handler has returned holds neither the response nor the chain.
  #follow(outcome: unknown): void {
    if (isThenable(outcome)) {
      outcome.then(
        () => this.#ended(),
        (error) => this.#failed(error),
      );
    } else {
      this.#ended();
    }
  }

  #failed(error: unknown): void {
    // Whoever waits with `signal: socket.closing` has got what was waited for.
    if (this.#member.ends.cancelledBy(error) === 'closing') this.#ended();
    else this.fail(error);
  }

  /** The handler has returned: the connection is closed, or the peer's close acknowledged. */
  #ended(): void {
    const { closeStatus, closeStatusDescription, isHandedOver } = this.#member.context;
    // A connection that ws has taken over lives on by itself.
    if (isHandedOver) return;
    // Undefined, hence 1000, unless the peer has closed.
    this.#close(closeStatus, closeStatusDescription);
  }

  /** The application has failed. The client learns no more than the error exposes. */
  fail(error: unknown): void {
    const status = isHttpError(error) ? closeStatusOf(error.status) : INTERNAL_ERROR;
    const description =
      status !== INTERNAL_ERROR && isHttpError(error) && error.expose
        ? fitDescription(String(error.message))
        : undefined;
    this.#close(status, description);
    this.#report(error);
  }

  #report(error: unknown): void {
    const { context, ends } = this.#member;
    const info: HandlerErrorInfo = { expected: isExpected(error) || ends.cancelledBy(error) !== undefined };
    const { onError = logUnexpected } = this;
    // Others may have brought the failure about: a callback that belongs to another request, or to all.
    ends.runInAsyncScope(() => {
      publishError(context, error);
      // A listener may be asynchronous, whatever its type says. What it throws itself must not go any further.
      try {
        const outcome: unknown = onError(error, context, context.request, info);
        if (isThenable(outcome)) outcome.then(undefined, warn);
      } catch (failure) {
        warn(failure);
      }
    });
  }

  // AcceptedRequestEvents

  onChainEnd(error?: unknown): void {
    // As in Express and Connect, what is falsy is no error.
    if (!error) {
      if (this.#holder === 'nobody') this.#close(NOT_FOUND, undefined);
    } else if (this.isHandled) {
      this.#report(error);
    } else {
      this.fail(error);
    }
  }

  onResponseError(error: unknown): void {
    this.#report(error);
  }

  onResponseEnd(statusCode: number, gaveUp: boolean): void {
    if (this.isHandled) {
      if (statusCode !== SWITCHING_PROTOCOLS) warnOfSpentResponse(statusCode);
      return;
    }
    if (this.#answered) return;
    this.#answered = true;
    if (this.#holder === 'nobody') {
      this.#close(NOT_FOUND, undefined);
      if (gaveUp) this.#report(resigned());
    } else if (statusCode >= 400) {
      this.fail(answered(statusCode));
    } else if (gaveUp) {
      this.fail(resigned());
    }
  }

  #close(status: number | undefined, description: string | undefined): void {
    const { context } = this.#member;
    if (context.isHandedOver) context.ws.close(status, description);
    // Otherwise an error would be made for nobody, for each of the thousands that a restart of a proxy cuts off
    else if (!isTerminal(context.state)) void context.closeAsync(status, description);
  }
}
