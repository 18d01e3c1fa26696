/** A send that could not be put into the batch at once. */
export interface PendingSend {
  data: string | Uint8Array;
  readonly text: boolean;
  readonly endOfMessage: boolean;
  compress: boolean;
  /** A close frame: `data` is its payload. */
  readonly close: boolean;
  /** A message of its own. */
  readonly whole: boolean;
  readonly size: number;
  phase: 'queued' | 'compressing' | 'compressed' | 'committed';
  resolve: (() => void) | undefined;
  reject: ((reason: unknown) => void) | undefined;
}

/** Nothing is pending, as is the rule. */
export const NONE: readonly PendingSend[] = Object.freeze([]);

/** The sends have succeeded, unless their promises have been rejected before. */
export function resolveSends(sends: readonly PendingSend[]): void {
  for (const pending of sends) {
    const { resolve } = pending;
    forgetPromise(pending);
    resolve?.();
  }
}

/** The sends have failed, unless they have succeeded or failed before. */
export function rejectSends(sends: readonly PendingSend[], reason: unknown): void {
  for (const pending of sends) {
    const { reject } = pending;
    forgetPromise(pending);
    reject?.(reason);
  }
}

function forgetPromise(pending: PendingSend): void {
  pending.resolve = pending.reject = undefined;
}
