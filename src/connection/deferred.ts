import { WebSocketError } from '../errors.js';
import { eventLoop } from '../event-loop.js';

/**
 * A promise of an operation, beside what settles it.
 *
 * Nobody is punished for not awaiting a send or a close that fails for the connection's sake: a promise that rejects with
 * a {@link WebSocketError} counts as handled and raises no `unhandledRejection`. Whoever awaits it sees the error all the
 * same. Every other reason, such as a wrong argument or that of an AbortSignal, stays loud. It is at the rejection that
 * this is seen to, so that what succeeds pays nothing for it.
 */
export class Deferred<T> {
  readonly promise: Promise<T>;
  #resolve: ((value: T) => void) | undefined;
  #reject: ((reason: unknown) => void) | undefined;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  get isSettled(): boolean {
    return this.#resolve === undefined;
  }

  /** Settles it, unless it has been settled before. */
  resolve(value: T): void {
    const resolve = this.#resolve;
    this.#resolve = this.#reject = undefined;
    resolve?.(value);
  }

  /** Settles it, unless it has been settled before. */
  reject(reason: unknown): void {
    const reject = this.#reject;
    this.#resolve = this.#reject = undefined;
    if (reject === undefined) return;
    countAsHandled(this.promise, reason);
    reject(reason);
  }
}

/**
 * A promise of what cannot be done, which rejects as that of a {@link Deferred} does, in a later turn of the event loop: a
 * loop that ignores the error and tries again must not keep the process from all other work.
 */
export function rejected(reason: unknown): Promise<never> {
  const deferred = new Deferred<never>();
  eventLoop.setImmediate(() => deferred.reject(reason));
  return deferred.promise;
}

/** A promise that is settled in a later turn of the event loop, for the same reason; nobody counts as its handler. */
export function inLaterTurn<T>(
  settle: (resolve: (value: T) => void, reject: (reason: unknown) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => eventLoop.setImmediate(() => settle(resolve, reject)));
}

/** `operation.then(onFulfilled, onRejected)`, which rejects as the promise of a {@link Deferred} does. */
export function derive<T, R>(
  operation: Promise<T>,
  onFulfilled: (value: T) => R,
  onRejected: (reason: unknown) => R = rethrow,
): Promise<R> {
  const derived: Promise<R> = operation.then(onFulfilled, (reason: unknown) => {
    countAsHandled(derived, reason);
    return onRejected(reason);
  });
  return derived;
}

function countAsHandled(promise: Promise<unknown>, reason: unknown): void {
  if (reason instanceof WebSocketError) promise.catch(ignore);
}

function rethrow(reason: unknown): never {
  throw reason;
}

function ignore(): void {}
