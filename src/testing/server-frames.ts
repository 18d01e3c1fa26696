import { FIN, LENGTH_IN_16_BITS, LENGTH_IN_64_BITS, MASK, RSV1, RSV2_AND_3 } from '../framing/opcodes.js';

/** A frame of a server. */
export interface ServerFrame {
  readonly opcode: number;
  readonly fin: boolean;
  readonly payload: Buffer;
}

interface Header {
  readonly opcode: number;
  readonly fin: boolean;
  readonly length: number;
}

/** Cuts what a server sends into whole frames (RFC 6455, section 5.2). Servers do not mask, and nothing is compressed. */
export class ServerFrames {
  #chunks: Buffer[] = [];
  #available = 0;
  #header: Header | undefined;

  /**
   * Adds a chunk and gives the frames that are complete with it.
   *
   * @throws Error if it is no frame of a server
   */
  *push(chunk: Buffer): Generator<ServerFrame, void, void> {
    if (this.#available === 0) this.#chunks = [chunk];
    else this.#chunks.push(chunk);
    this.#available += chunk.length;
    for (;;) {
      this.#header ??= this.#readHeader();
      if (this.#header === undefined || this.#available < this.#header.length) return;
      const { opcode, fin, length } = this.#header;
      this.#header = undefined;
      yield { opcode, fin, payload: this.#take(length) };
    }
  }

  #readHeader(): Header | undefined {
    if (this.#available < 2) return undefined;
    // Few bytes, unless they are the end of a chunk.
    const start = this.#peek(2);
    const first = start.readUInt8(0);
    const second = start.readUInt8(1);
    if ((first & (RSV1 | RSV2_AND_3)) !== 0 || (second & MASK) !== 0) {
      throw new Error('Cannot read the frame of the server: it is masked or compressed, must be neither');
    }
    const size = second === LENGTH_IN_64_BITS ? 10 : second === LENGTH_IN_16_BITS ? 4 : 2;
    if (this.#available < size) return undefined;
    const header = this.#take(size);
    const length = size === 10 ? Number(header.readBigUInt64BE(2)) : size === 4 ? header.readUInt16BE(2) : second;
    return { opcode: first & 0x0f, fin: (first & FIN) !== 0, length };
  }

  /** The next `count` bytes, which are there, in one piece. */
  #peek(count: number): Buffer {
    const [first = EMPTY] = this.#chunks;
    if (first.length >= count) return first;
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }

  #take(count: number): Buffer {
    const all = this.#peek(count);
    this.#chunks[0] = all.subarray(count);
    this.#available -= count;
    return all.subarray(0, count);
  }
}

const EMPTY = Buffer.alloc(0);
