const EMPTY = Buffer.alloc(0);

/**
 * The last bytes of what was inflated, as far back as the client may refer (RFC 7692, section 7.1.2): copies, because a
 * reader may write to what it was given. It takes no more memory than has been inflated, and none for a piece once it is full.
 */
export class InflateWindow {
  readonly #size: number;
  #bytes: Buffer = EMPTY;
  /** Where the next byte goes, in a ring once the window is as large as it gets. */
  #end = 0;
  #isRing = false;

  /** @param size the most bytes that are kept */
  constructor(size: number) {
    this.#size = size;
  }

  /** Takes what has been inflated next. */
  write(chunk: Buffer): void {
    const size = this.#size;
    const fresh = chunk.length > size ? chunk.subarray(chunk.length - size) : chunk;
    if (this.#bytes.length < size) this.#grow(this.#end + fresh.length);
    const taken = fresh.copy(this.#bytes, this.#end);
    this.#end += taken;
    if (this.#end < size) return;
    this.#isRing = true;
    this.#end = fresh.copy(this.#bytes, 0, taken);
  }

  /** What is kept, in order. */
  toBuffer(): Buffer {
    const newest = this.#bytes.subarray(0, this.#end);
    return this.#isRing ? Buffer.concat([this.#bytes.subarray(this.#end), newest]) : newest;
  }

  #grow(needed: number): void {
    if (needed <= this.#bytes.length) return;
    // Twice what is needed: or each of many short messages would move all that is there.
    const larger = Buffer.allocUnsafeSlow(Math.min(this.#bytes.length === 0 ? needed : 2 * needed, this.#size));
    this.#bytes.copy(larger);
    this.#bytes = larger;
  }
}
