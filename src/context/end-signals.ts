import { AsyncResource } from 'node:async_hooks';
import type { CloseInfo } from '../connection/closing/close-status.js';
import type { LiveConnection } from '../connection/connection.js';
import { isTerminal } from '../connection/state.js';
import { ClosedPromise } from './closed.js';

/**
 * How the application learns of the end of a connection, made when it is asked for: `signal`, `closing` and `closed`. They
 * fire in the asynchronous context of the handshake, which this resource keeps: what is there for a user (in an
 * `AsyncLocalStorage`) must never be seen by those who are told of another's connection. `AsyncLocalStorage.snapshot()`
 * would take 40 times the memory.
 */
export class EndSignals extends AsyncResource {
  readonly #connection: LiveConnection;
  /** Few ask: an idle connection has one field for it instead of four. */
  #asked: AskedSignals | undefined;

  constructor(connection: LiveConnection) {
    super('WebSocketContext');
    this.#connection = connection;
  }

  /** Fires when the connection is over. */
  get signal(): AbortSignal {
    const asked = this.#ask();
    if (asked.controller === undefined) {
      asked.controller = new AbortController();
      if (isTerminal(this.#connection.state)) asked.controller.abort();
    }
    return asked.controller.signal;
  }

  /** Fires when either side has begun to close. Asking for it means to answer the peer's close. */
  get closing(): AbortSignal {
    const asked = this.#ask();
    if (asked.closingController === undefined) {
      asked.closingController = new AbortController();
      if (this.#connection.isClosing) asked.closingController.abort();
      this.#connection.listenForClose();
    }
    return asked.closingController.signal;
  }

  /** How the connection ended. Awaiting it means not to answer the peer's close. */
  get closed(): Promise<CloseInfo> {
    const asked = this.#ask();
    asked.closed ??= isTerminal(this.#connection.state)
      ? Promise.resolve(this.#connection.closeInfo)
      : this.#awaitableEnd(asked);
    return asked.closed;
  }

  /** Which of the signals an error stems from: its reason, or an error that has it for a cause. */
  cancelledBy(error: unknown): 'signal' | 'closing' | undefined {
    if (stemsFrom(this.#asked?.controller, error)) return 'signal';
    return stemsFrom(this.#asked?.closingController, error) ? 'closing' : undefined;
  }

  /** Either side has begun to close. */
  fireClosing(): void {
    const controller = this.#asked?.closingController;
    if (controller !== undefined) this.runInAsyncScope(() => controller.abort());
  }

  /** The connection is over. */
  fireClosed(): void {
    const asked = this.#asked;
    if (asked === undefined) return;
    this.runInAsyncScope(() => {
      asked.resolveClosed?.(this.#connection.closeInfo);
      asked.controller?.abort();
    });
  }

  #ask(): AskedSignals {
    this.#asked ??= {
      controller: undefined,
      closingController: undefined,
      closed: undefined,
      resolveClosed: undefined,
    };
    return this.#asked;
  }

  #awaitableEnd(asked: AskedSignals): Promise<CloseInfo> {
    const closed = new ClosedPromise((resolve) => {
      asked.resolveClosed = resolve;
    });
    // Made, then assigned: see WaitingRequest#start.
    const onAwaited = () => this.#connection.awaitEnd();
    closed.onAwaited = onAwaited;
    return closed;
  }
}

/** What the application has asked for. */
interface AskedSignals {
  controller: AbortController | undefined;
  closingController: AbortController | undefined;
  closed: Promise<CloseInfo> | undefined;
  resolveClosed: ((info: CloseInfo) => void) | undefined;
}

/** `fetch` rejects with the reason of a signal, the timers of Node with an error that has it for a cause. */
function stemsFrom(controller: AbortController | undefined, error: unknown): boolean {
  if (controller?.signal.aborted !== true) return false;
  const { reason } = controller.signal;
  return error === reason || (error instanceof Error && error.cause === reason);
}
