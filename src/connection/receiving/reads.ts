import type { Reader, UnreadPieces } from './unread-pieces.js';

/** What is read: fragments, messages, and so on. */
export interface ReadKind<T> {
  /** Takes the result from what is unread, `undefined` if it is not there yet. */
  take(pieces: UnreadPieces): T | undefined;
  /** The result when the peer has closed. No accessor: V8 puts those of a literal into the old generation. */
  atClose(): T;
  /** Needs a whole message. */
  readonly wantsMessage: boolean;
  /** Goes on reporting the close, as an iterator does, where other reads fail after the first time. */
  readonly closeRepeats: boolean;
}

/** A read that waits. Its promise settles exactly once. */
export class PendingRead<T> implements Reader {
  readonly kind: ReadKind<T>;
  /** Rejects, too, if it is given a promise that does: one function less for an idle connection to keep. */
  readonly resolve: (value: T | Promise<never>) => void;
  /** Stops listening for cancellation. */
  stopListening: (() => void) | undefined;

  constructor(kind: ReadKind<T>, resolve: (value: T | Promise<never>) => void) {
    this.kind = kind;
    this.resolve = resolve;
  }

  wake(pieces: UnreadPieces): void {
    let value: T;
    try {
      // They tell a reader only when there is what it waits for.
      value = this.kind.take(pieces) as T;
    } catch (error) {
      // The reader's own buffer is gone.
      this.fail(error);
      return;
    }
    this.stopListening?.();
    this.resolve(value);
  }

  closed(): void {
    this.stopListening?.();
    this.resolve(this.kind.atClose());
  }

  fail(reason: unknown): void {
    this.stopListening?.();
    this.resolve(rejectedSoon(reason));
  }
}

const settled: Promise<void> = Promise.resolve();

/** Rejects once the promise that is resolved with it has adopted it, which takes a turn: before, it would count as unhandled. */
async function rejectedSoon(reason: unknown): Promise<never> {
  await settled;
  await settled;
  throw reason;
}
