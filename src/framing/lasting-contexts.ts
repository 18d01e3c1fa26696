/** So many contexts that nobody uses at the moment are kept: 64 compressors are about 16 MiB. */
const MOST_IDLE = 64;

/** So many messages are compressed without a context before another connection is given one. */
const MOST_PASSED_OVER = 16;

/** Something that can do without its zlib context when others need the memory. */
export interface ZlibContextOwner {
  dropContext(): void;
}

/**
 * The contexts that outlive a message (context takeover), which are kept from adding up: of those that are idle, only the
 * ones used last stay. It needs no timer, and the memory has a bound however many connections there are.
 *
 * Whoever inflates has to have one. Whoever compresses need not: were each message of a loop over thousands given one, it
 * would be thrown away before it is used again. So where there are as many as are kept, small messages of connections that
 * have none do without; now and then one is given one all the same, so that none stays with who has fallen silent.
 */
export class LastingContexts {
  readonly #idle: Set<ZlibContextOwner> = new Set();
  readonly #busy: Set<ZlibContextOwner> = new Set();
  #passedOver = 0;

  /** Whether a message that can do without a context should. */
  get areEnough(): boolean {
    return this.#idle.size + this.#busy.size >= MOST_IDLE && this.#passedOver < MOST_PASSED_OVER;
  }

  /** A message has done without. */
  passOver(): void {
    this.#passedOver++;
  }

  /** One that could have done without is given a context. */
  admit(): void {
    this.#passedOver = 0;
  }

  /** The context of `owner` is in use. */
  use(owner: ZlibContextOwner): void {
    this.#idle.delete(owner);
    this.#busy.add(owner);
  }

  /** The context of `owner` is idle from now on and may be dropped at any time. */
  keep(owner: ZlibContextOwner): void {
    this.#busy.delete(owner);
    this.#idle.add(owner);
    // A Set is in the order of insertion, so that the first one has been idle longest.
    const [oldest] = this.#idle;
    if (this.#idle.size > MOST_IDLE && oldest !== undefined) {
      this.#idle.delete(oldest);
      oldest.dropContext();
    }
  }

  /** `owner` has no context any more. */
  forget(owner: ZlibContextOwner): void {
    this.#idle.delete(owner);
    this.#busy.delete(owner);
  }
}

/** Those of all connections of the process. */
export const lastingContexts: LastingContexts = new LastingContexts();
