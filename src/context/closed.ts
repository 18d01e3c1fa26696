import type { CloseInfo } from '../connection/closing/close-status.js';

/**
 * The promise of `closed`, which tells when somebody begins to await it: to have it is not yet to wait. What is derived
 * from it are ordinary promises.
 */
export class ClosedPromise extends Promise<CloseInfo> {
  onAwaited: (() => void) | undefined;

  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  override then<Result = CloseInfo, Failure = never>(
    onFulfilled?: ((info: CloseInfo) => Result | PromiseLike<Result>) | null,
    onRejected?: ((reason: unknown) => Failure | PromiseLike<Failure>) | null,
  ): Promise<Result | Failure> {
    this.onAwaited?.();
    return super.then(onFulfilled, onRejected);
  }
}
