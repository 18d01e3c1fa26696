import type { IncomingMessage } from 'node:http';
import { isHttpError } from 'http-errors';
import { fitDescription } from './connection/close-status.js';
import { isTerminal, WebSocketState } from './connection/state.js';
import { isHandedOver, type WebSocketContext } from './context/web-socket-context.js';
import { WebSocketError } from './errors.js';
import type { Aftermath } from './upgrade/upgrade-request.js';

/** Close status of a connection that no route wanted, after HTTP's 404. */
const NOT_FOUND = 4404;
const INTERNAL_ERROR = 1011;

/** Gets the errors of an application that no HTTP response can report any more. */
export type ErrorListener = (error: unknown, socket: WebSocketContext, req: IncomingMessage) => void;

function ignore(): void {}

function warn(fault: unknown): void {
  process.emitWarning(fault instanceof Error ? fault : String(fault), 'WebSocketOnErrorWarning');
}

/**
 * What happens to errors without an `onError` option: as Express does with those that no error middleware takes, a
 * programming error is printed. What clients cause all the time, by leaving or by a 4xx, is not.
 */
function logUnexpected(error: unknown): void {
  const expected = error instanceof WebSocketError || (isHttpError(error) && error.status < 500);
  if (expected || process.env['NODE_ENV'] === 'test') return;
  console.error(error instanceof Error ? (error.stack ?? error.message) : error);
}

/** Close status that stands for an HTTP status: 4000 + status for what the client did wrong, otherwise 1011. */
function closeStatusOf(httpStatus: number): number {
  return httpStatus >= 400 && httpStatus < 500 ? 4000 + httpStatus : INTERNAL_ERROR;
}

/** One connection from the view of the application's code: what its handlers do, and how they end. */
export class HandlerLife implements Aftermath {
  readonly #socket: WebSocketContext;
  readonly #req: IncomingMessage;
  readonly #onError: ErrorListener;
  /** Somebody in the chain has taken the connection up. */
  claimed = false;

  constructor(socket: WebSocketContext, req: IncomingMessage, onError: ErrorListener | undefined) {
    this.#socket = socket;
    this.#req = req;
    this.#onError = onError ?? logUnexpected;
  }

  /** The handler has returned: the connection is closed, or the peer's close acknowledged. */
  ended(): void {
    const { state, closeStatus = 1005, closeStatusDescription } = this.#socket;
    // A connection that ws has taken over lives on by itself.
    if (isTerminal(state) || isHandedOver(this.#socket)) return;
    if (state === WebSocketState.CloseReceived) {
      this.#close(closeStatus, closeStatus === 1005 ? undefined : closeStatusDescription);
    } else {
      this.#close(1000, undefined);
    }
  }

  /** The application has failed. The client learns no more than the error exposes. */
  failed(error: unknown): void {
    if (isHttpError(error) && error.status < 500) {
      this.#close(closeStatusOf(error.status), error.expose ? fitDescription(error.message) : undefined);
    } else {
      this.#close(INTERNAL_ERROR, undefined);
    }
    this.report(error);
  }

  /** Tells the `onError` option. What that throws itself must not go any further. */
  report(error: unknown): void {
    try {
      // A listener may be asynchronous, whatever its type says.
      Promise.resolve(this.#onError(error, this.#socket, this.#req)).catch(warn);
    } catch (fault) {
      warn(fault);
    }
  }

  // Aftermath

  chainEnded(error?: unknown): void {
    if (error !== undefined && error !== null) this.failed(error);
    else if (!this.claimed) this.#close(NOT_FOUND, undefined);
  }

  responseEnded(statusCode: number): void {
    if (!this.claimed) this.#close(NOT_FOUND, undefined);
    else if (statusCode >= 400) this.#close(closeStatusOf(statusCode), undefined);
  }

  #close(status: number, description: string | undefined): void {
    if (isHandedOver(this.#socket)) this.#socket.ws.close(status, description);
    else this.#socket.closeAsync(status, description).catch(ignore);
  }
}
