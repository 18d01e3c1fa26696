import { constants, type DeflateRaw, type InflateRaw } from 'node:zlib';
import { outsideRequests } from '../outside-requests.js';

const { Z_SYNC_FLUSH } = constants;

/**
 * What a stream of zlib has below its public surface. `deflateRawSync` and `inflateRawSync` make a context for each call,
 * which takes as long as to compress some hundred bytes, and as they come and go they leave holes in the memory of the
 * process; a stream gives each write to another thread. npm's own minizlib, among others, goes this way.
 */
interface ZlibStream {
  readonly destroyed: boolean;
  readonly _handle?: Partial<ZlibHandle> | null;
  /** Room for output and input that the last write has left. */
  readonly _writeState?: Uint32Array;
}

interface ZlibHandle {
  writeSync(
    flush: number,
    input: Uint8Array,
    inputStart: number,
    inputSize: number,
    output: Uint8Array,
    outputStart: number,
    room: number,
  ): void;
  reset(): void;
}

interface Codec {
  readonly stream: ZlibStream;
  readonly handle: ZlibHandle;
  readonly state: Uint32Array;
}

// Output is copied out of it: it would otherwise stand in as much memory as it could have become.
let scratch = Buffer.alloc(0);

/**
 * Compresses or inflates messages that refer to no others in this thread, one behind the other, with a context that stays.
 * Has none until it is first needed.
 */
export class KeptZlib {
  readonly #make: () => DeflateRaw | InflateRaw;
  #codec: Codec | undefined;
  #isUseless = false;

  /** @param make a stream that nobody else uses */
  constructor(make: () => DeflateRaw | InflateRaw) {
    this.#make = make;
  }

  /**
   * Makes of the whole message `input` what zlib makes of it, with a `Z_SYNC_FLUSH`, before the call returns.
   *
   * @returns `undefined` if that is more than `limit` bytes, if zlib does not take all of `input` or refuses its options, or
   *   if this Node has no way to do it: a stream then says what is the matter
   */
  run(input: Uint8Array, limit: number): Buffer | undefined {
    const codec = this.#open();
    if (codec === undefined) return undefined;
    const { stream, handle, state } = codec;
    // A buffer that is full does not tell whether there is more.
    const room = limit + 1;
    if (scratch.length < room) scratch = Buffer.allocUnsafeSlow(room);
    handle.writeSync(Z_SYNC_FLUSH, input, 0, input.length, scratch, 0, room);
    if (stream.destroyed) {
      this.#codec = undefined;
      return undefined;
    }
    const [roomLeft, inputLeft] = state;
    handle.reset();
    if (roomLeft === 0 || inputLeft !== 0) return undefined;
    return Buffer.from(scratch.subarray(0, room - (roomLeft as number)));
  }

  #open(): Codec | undefined {
    if (this.#codec !== undefined || this.#isUseless) return this.#codec;
    try {
      const stream = outsideRequests(this.#make);
      // What it says of a message is not the last word.
      stream.on('error', ignore);
      this.#codec = codecOf(stream);
      this.#isUseless = this.#codec === undefined;
    } catch {
      // It refuses its options, or there is no memory for a context.
    }
    return this.#codec;
  }
}

function codecOf(stream: ZlibStream): Codec | undefined {
  const { _handle: handle, _writeState: state } = stream;
  return isHandle(handle) && state instanceof Uint32Array ? { stream, handle, state } : undefined;
}

function isHandle(handle: Partial<ZlibHandle> | null | undefined): handle is ZlibHandle {
  return typeof handle?.writeSync === 'function' && typeof handle.reset === 'function';
}

function ignore(): void {}
