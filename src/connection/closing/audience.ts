import type { Receiver } from '../receiving/receiver.js';

/** What an audience knows of reading. */
type Reading = Pick<Receiver, 'reads' | 'hasReader' | 'isCloseRead'>;

/** Who can know of the peer's close, and who wants it to be acknowledged without saying anything more. */
export class Audience {
  readonly #input: Reading;
  /** Somebody listens to `closing`. */
  #listens = false;
  /** Somebody who awaits the end has begun to when the close was there. */
  #awaitsBehindClose = false;
  /** ... or beside a read, which is told of the close. */
  #awaitsBesideReads = false;
  /** ... or instead of reading: after so many reads. */
  #readsBeforeAwaiting = -1;

  constructor(input: Reading) {
    this.#input = input;
  }

  /** Whether the application has been told of the close, and decides itself when to answer it. */
  get knows(): boolean {
    return this.#listens || this.#input.isCloseRead;
  }

  /** Whether nobody sees the close, or somebody who does only waits for the end. */
  get wantsAcknowledgement(): boolean {
    const { reads, hasReader, isCloseRead } = this.#input;
    if (this.#awaitsBehindClose || (this.#awaitsBesideReads && isCloseRead)) return true;
    if (this.#readsBeforeAwaiting === reads && !hasReader) return true;
    return reads === 0 && !this.#listens;
  }

  /** Somebody listens to `closing` from now on. */
  listen(): void {
    this.#listens = true;
  }

  /** Somebody awaits the end from now on. */
  awaitEnd(isPeerClosed: boolean): void {
    if (isPeerClosed) this.#awaitsBehindClose = true;
    else if (this.#input.hasReader) this.#awaitsBesideReads = true;
    else this.#readsBeforeAwaiting = this.#input.reads;
  }
}
