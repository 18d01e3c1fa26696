import { Deferred } from '../deferred.js';

/** What a {@link PendingSend} is made of. */
export interface PendingSendParts {
  readonly data: string | Uint8Array;
  readonly text: boolean;
  readonly endOfMessage: boolean;
  readonly compress: boolean;
  /** A close frame: `data` is its payload. */
  readonly close: boolean;
  /** A message of its own. */
  readonly ownMessage: boolean;
  readonly size: number;
}

/** A send that could not be put into the batch at once. Its promise resolves when the system has taken it. */
export class PendingSend extends Deferred<void> {
  data: string | Uint8Array;
  readonly text: boolean;
  readonly endOfMessage: boolean;
  compress: boolean;
  readonly close: boolean;
  readonly ownMessage: boolean;
  readonly size: number;
  phase: 'queued' | 'compressing' | 'compressed' | 'committed' = 'queued';

  /** What waits at a sender is either shared by many, or not. */
  get shared(): undefined {
    return undefined;
  }

  constructor(parts: PendingSendParts) {
    super();
    this.data = parts.data;
    this.text = parts.text;
    this.endOfMessage = parts.endOfMessage;
    this.compress = parts.compress;
    this.close = parts.close;
    this.ownMessage = parts.ownMessage;
    this.size = parts.size;
  }

  /** Whether the application has given its bytes away while they waited. */
  get isDetached(): boolean {
    return this.phase === 'queued' && typeof this.data !== 'string' && this.data.byteLength !== this.size;
  }
}

/** Nothing is pending, as is the rule. */
export const NONE: readonly PendingSend[] = Object.freeze([]);

/** The sends have succeeded, unless their promises have been rejected before. */
export function resolveSends(sends: readonly PendingSend[]): void {
  for (const pending of sends) pending.resolve();
}

/** The sends have failed, unless they have succeeded or failed before. */
export function rejectSends(sends: readonly PendingSend[], reason: unknown): void {
  for (const pending of sends) pending.reject(reason);
}
