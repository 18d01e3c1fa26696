/** Takes a chunked body apart (RFC 9112, section 7.1), in whatever pieces it comes. */
export class ChunkedBody {
  /** The lines of the trailer section. */
  readonly trailers: string[] = [];
  /** What has come of a line that is not complete. */
  #line = '';
  /** Bytes that are left of the chunk. */
  #left = 0;
  /** Some data of the chunk has come; behind all of it ends a line. */
  #isBehindData = false;
  #isInTrailers = false;

  /**
   * The data in the next piece.
   *
   * @throws RangeError if the size of a chunk is no number
   */
  decode(piece: Buffer): Buffer[] {
    const data: Buffer[] = [];
    let at = 0;
    while (at < piece.length) {
      if (this.#left > 0) {
        const part = piece.subarray(at, at + this.#left);
        data.push(part);
        at += part.length;
        this.#left -= part.length;
        this.#isBehindData = true;
        continue;
      }
      const end = piece.indexOf('\n', at);
      this.#line += piece.toString('latin1', at, end < 0 ? piece.length : end);
      if (end < 0) break;
      at = end + 1;
      const line = this.#line.trim();
      this.#line = '';
      this.#take(line);
    }
    return data;
  }

  #take(line: string): void {
    if (this.#isInTrailers) {
      if (line !== '') this.trailers.push(line);
    } else if (this.#isBehindData) {
      this.#isBehindData = false;
    } else {
      // A chunk extension is not part of the number
      const size = Number.parseInt(line, 16);
      if (!(size >= 0)) throw new RangeError(`The size of a chunk is ${JSON.stringify(line)}, must be a number in hex`);
      this.#left = size;
      this.#isInTrailers = size === 0;
    }
  }
}
