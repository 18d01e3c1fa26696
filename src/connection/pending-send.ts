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

/** Settles a send, unless it has been settled before. Without a `reason` it has succeeded. */
export function settle(pending: PendingSend, reason: unknown): void {
  const { resolve, reject } = pending;
  pending.resolve = pending.reject = undefined;
  if (reason === undefined) resolve?.();
  else reject?.(reason);
}

/** Settles sends that the system has taken. */
export function settleAll(sent: readonly PendingSend[]): void {
  for (const pending of sent) settle(pending, undefined);
}
