/** Finds the ends of frames in what a server sends; servers do not mask (RFC 6455 §5.1). */
export class FrameScanner {
  /** First byte of the last frame that ended: FIN, RSV and opcode. */
  first = 0;
  #head = Buffer.alloc(10);
  #have = 0;
  #left = 0;

  /**
   * Takes bytes up to the end of one frame.
   *
   * @param {Buffer} data
   * @param {number} start
   * @param {(payload: Buffer) => void} onPayload
   * @returns {{ used: number, ended: boolean }}
   */
  scan(data, start, onPayload) {
    let at = start;
    while (this.#have < this.#needed()) {
      if (at === data.length) return { used: at - start, ended: false };
      this.#head[this.#have++] = /** @type {number} */ (data[at++]);
      if (this.#have === this.#needed()) this.#left = this.#length();
    }
    const end = Math.min(data.length, at + this.#left);
    if (end > at) onPayload(data.subarray(at, end));
    this.#left -= end - at;
    const ended = this.#left === 0;
    if (ended) {
      this.#have = 0;
      this.first = this.#head.readUInt8(0);
    }
    return { used: end - start, ended };
  }

  #needed() {
    if (this.#have < 2) return 2;
    const length = this.#head.readUInt8(1) & 127;
    if (length === 126) return 4;
    return length === 127 ? 10 : 2;
  }

  #length() {
    if (this.#have === 4) return this.#head.readUInt16BE(2);
    if (this.#have === 10) return Number(this.#head.readBigUInt64BE(2));
    return this.#head.readUInt8(1) & 127;
  }
}
