/** A ping of the application that waits for its pong. */
interface Ping {
  readonly payload: Buffer;
  readonly sentAt: number;
  resolve(roundTrip: number): void;
  reject(reason: unknown): void;
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
    return new Promise((resolve, reject) => {
      const cancel = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(ping), 1);
        reject(signal?.reason);
      };
      const settled = (): void => signal?.removeEventListener('abort', cancel);
      const ping: Ping = {
        payload,
        sentAt: this.#now(),
        resolve: (roundTrip) => {
          settled();
          resolve(roundTrip);
        },
        reject: (reason) => {
          settled();
          reject(reason);
        },
      };
      this.#waiting.push(ping);
      signal?.addEventListener('abort', cancel, { once: true });
    });
  }

  /** A pong answers the oldest ping with its payload; one that answers none is ignored. */
  ponged(payload: Buffer): void {
    const at = this.#waiting.findIndex((ping) => ping.payload.equals(payload));
    if (at < 0) return;
    const [ping] = this.#waiting.splice(at, 1);
    if (ping !== undefined) ping.resolve(this.#now() - ping.sentAt);
  }

  /** No pong will come any more. */
  fail(reason: unknown): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const ping of waiting) ping.reject(reason);
  }
}
