import { type Batch, BLOCK_SIZE, takeBlock } from './batch.js';
import { headerLength, LONGEST_HEADER, putFrame, putHeader } from './frame.js';
import type { FrameRun } from './frame-run.js';

/**
 * Payloads up to this size are copied behind their header; longer ones are written by reference. Below it a copy costs
 * less than a further element of the vector that is given to the system.
 */
export const COPY_LIMIT: number = 16 * 1024;

/** Longest text whose UTF-8 form is sure to fit into a block together with its header. */
const TEXT_COPY_LIMIT = Math.floor((BLOCK_SIZE - 4) / 3);
/** Below this length a loop over the characters is faster than a call into the runtime. */
const SHORT_TEXT = 48;

const NONE: readonly Buffer[] = Object.freeze<Buffer[]>([]);

/**
 * Puts unmasked frames (RFC 6455, section 5.1: a server masks nothing) one behind the other, so that all of a tick leave
 * in one system call. Small payloads are copied, large ones referred to.
 */
export class FrameWriter {
  #length = 0;
  #chunks: Buffer[] | undefined;
  #blocks: Buffer[] | undefined;
  #block: Buffer | undefined;
  /** The part of the block that is filled and not yet among the chunks. */
  #start = 0;
  #end = 0;

  /** Bytes, headers included, that wait in the batch. */
  get byteLength(): number {
    return this.#length;
  }

  /** Appends a frame whose payload is the UTF-8 form of `text`; lone surrogates become U+FFFD. */
  appendText(firstByte: number, text: string): void {
    const characters = text.length;
    if (characters > TEXT_COPY_LIMIT) {
      this.append(firstByte, Buffer.from(text));
      return;
    }
    const block = this.#reserve(characters * 3 + 4);
    const at = this.#end;
    const payload = at + headerLength(characters);
    let length = 0;
    if (characters <= SHORT_TEXT) {
      for (; length < characters; length++) {
        const unit = text.charCodeAt(length);
        if (unit > 0x7f) break;
        block[payload + length] = unit;
      }
    }
    if (length < characters) length = block.write(text, payload);
    const start = at + headerLength(length);
    // More bytes than characters: the longer header was not expected.
    if (start !== payload) block.copyWithin(start, payload, payload + length);
    putHeader(block, at, firstByte, length);
    this.#end = start + length;
    this.#length += this.#end - at;
  }

  /** Appends a frame. A payload longer than {@link COPY_LIMIT} must not change until the batch has been written. */
  append(firstByte: number, payload: Uint8Array): void {
    const { length } = payload;
    if (length <= COPY_LIMIT) {
      const block = this.#reserve(length + 4);
      const at = this.#end;
      this.#end = putFrame(block, at, firstByte, payload);
      this.#length += this.#end - at;
      return;
    }
    const block = this.#reserve(LONGEST_HEADER);
    const at = this.#end;
    this.#end = putHeader(block, at, firstByte, length);
    this.#length += this.#end - at + length;
    this.#cut();
    this.#refer(Buffer.isBuffer(payload) ? payload : Buffer.from(payload.buffer, payload.byteOffset, length));
  }

  /** Appends frames that go to others as well. */
  appendShared({ frames }: FrameRun): void {
    for (const frame of frames) {
      this.#length += frame.length;
      if (frame.length > COPY_LIMIT) {
        this.#cut();
        this.#refer(frame);
      } else {
        const block = this.#reserve(frame.length);
        block.set(frame, this.#end);
        this.#end += frame.length;
      }
    }
  }

  /** Hands out what was appended and starts anew. */
  take(): Batch {
    this.#cut();
    const batch = { chunks: this.#chunks ?? NONE, byteLength: this.#length, blocks: this.#blocks ?? NONE };
    this.#chunks = this.#blocks = this.#block = undefined;
    this.#start = this.#end = this.#length = 0;
    return batch;
  }

  /** A block with `size` free bytes behind `#end`. */
  #reserve(size: number): Buffer {
    if (this.#block !== undefined) {
      if (this.#block.length - this.#end >= size) return this.#block;
      this.#cut();
    }
    const block = takeBlock(size, this.#block === undefined);
    // An array that grows has room for seventeen at once.
    if (this.#blocks === undefined) this.#blocks = [block];
    else this.#blocks.push(block);
    this.#block = block;
    this.#start = this.#end = 0;
    return block;
  }

  #cut(): void {
    if (this.#block === undefined || this.#end === this.#start) return;
    this.#refer(this.#block.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }

  #refer(chunk: Buffer): void {
    if (this.#chunks === undefined) this.#chunks = [chunk];
    else this.#chunks.push(chunk);
  }
}
