/** As much is kept at most, as long as somebody may want it. */
export const EARLY_INPUT_LIMIT: number = 64 * 1024;

/** What a chunk costs beside its bytes, so that a flood of tiny ones is bounded as well. */
const CHUNK_OVERHEAD = 64;

/** Input as it came, kept for as long as the connection may still be handed over to `ws`, which has to get all of it. */
export class EarlyInput {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  /** Whether no more is to come. */
  get isFull(): boolean {
    return this.#bytes >= EARLY_INPUT_LIMIT;
  }

  /** Keeps a copy of a chunk: the frame reader unmasks in place. */
  keep(chunk: Buffer): void {
    this.#chunks.push(Buffer.from(chunk));
    this.#bytes += chunk.length + CHUNK_OVERHEAD;
  }

  /** All that was kept. */
  concat(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}
