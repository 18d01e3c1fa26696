import { onAbort } from './cancellation.js';
import { Deferred } from './deferred.js';

/** A ping of the application that waits for its pong. */
interface Ping {
  readonly payload: Buffer;
  readonly sentAt: number;
  readonly answered: Deferred<number>;
  /** Stops listening for cancellation. */
  stopListening: (() => void) | undefined;
}

/** Pings of the application and the pongs that answer them (RFC 6455, section 5.5.3). */
export class Pings {
  readonly #now: () => number;
  #waiting: Ping[] = [];
  #counter = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** A payload that tells this ping from the others. */
  nextPayload(): Buffer {
    const payload = Buffer.alloc(8);
    payload.writeUInt32BE(++this.#counter, 4);
    return payload;
  }

  /** Resolves with the round trip in ms when the pong with this payload comes. */
  wait(payload: Buffer, signal: AbortSignal | undefined): Promise<number> {
    const answered = new Deferred<number>();
    const ping: Ping = { payload, sentAt: this.#now(), answered, stopListening: undefined };
    this.#waiting.push(ping);
    if (signal !== undefined) {
      ping.stopListening = onAbort(signal, () => {
        this.#waiting = this.#waiting.filter((one) => one !== ping);
        answered.reject(signal.reason);
      });
    }
    return answered.promise;
  }

  /**
   * A pong answers the oldest ping with its payload, and those before it: the peer need only answer the latest (RFC 6455,
   * section 5.5.3). One that answers none is ignored.
   */
  ponged(payload: Buffer): void {
    const at = this.#waiting.findIndex((ping) => ping.payload.equals(payload));
    const now = this.#now();
    for (const ping of this.#waiting.splice(0, at + 1)) {
      ping.stopListening?.();
      ping.answered.resolve(now - ping.sentAt);
    }
  }

  /** No pong will come any more. */
  fail(reason: unknown): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const ping of waiting) {
      ping.stopListening?.();
      ping.answered.reject(reason);
    }
  }
}
