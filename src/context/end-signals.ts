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
  #controller: AbortController | undefined;
  #closingController: AbortController | undefined;
  #closed: Promise<CloseInfo> | undefined;
  #resolveClosed: ((info: CloseInfo) => void) | undefined;

  constructor(connection: LiveConnection) {
    super('WebSocketContext');
    this.#connection = connection;
  }

  /** Fires when the connection is over. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (isTerminal(this.#connection.state)) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  /** Fires when either side has begun to close. Asking for it means to answer the peer's close. */
  get closing(): AbortSignal {
    if (this.#closingController === undefined) {
      this.#closingController = new AbortController();
      if (this.#connection.isClosing) this.#closingController.abort();
      this.#connection.listenForClose();
    }
    return this.#closingController.signal;
  }

  /** How the connection ended. Awaiting it means not to answer the peer's close. */
  get closed(): Promise<CloseInfo> {
    this.#closed ??= isTerminal(this.#connection.state)
      ? Promise.resolve(this.#connection.closeInfo)
      : this.#awaitableEnd();
    return this.#closed;
  }

  /** Which of the signals an error stems from: its reason, or an error that has it for a cause. */
  cancelledBy(error: unknown): 'signal' | 'closing' | undefined {
    if (stemsFrom(this.#controller, error)) return 'signal';
    return stemsFrom(this.#closingController, error) ? 'closing' : undefined;
  }

  /** Either side has begun to close. */
  fireClosing(): void {
    const controller = this.#closingController;
    if (controller !== undefined) this.runInAsyncScope(() => controller.abort());
  }

  /** The connection is over. */
  fireClosed(): void {
    this.runInAsyncScope(() => {
      this.#resolveClosed?.(this.#connection.closeInfo);
      this.#controller?.abort();
    });
  }

  #awaitableEnd(): Promise<CloseInfo> {
    const closed = new ClosedPromise((resolve) => {
      this.#resolveClosed = resolve;
    });
    // Made, then assigned: see WaitingRequest#start.
    const onAwaited = () => this.#connection.awaitEnd();
    closed.onAwaited = onAwaited;
    return closed;
  }
}

/** `fetch` rejects with the reason of a signal, the timers of Node with an error that has it for a cause. */
function stemsFrom(controller: AbortController | undefined, error: unknown): boolean {
  if (controller?.signal.aborted !== true) return false;
  const { reason } = controller.signal;
  return error === reason || (error instanceof Error && error.cause === reason);
}
