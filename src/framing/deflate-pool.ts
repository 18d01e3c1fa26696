import { createDeflateRaw, createInflateRaw, type InflateRaw, type ZlibOptions } from 'node:zlib';
import type { PerMessageDeflateOptions } from 'ws';
import * as ws from 'ws';
import { eventLoop } from '../event-loop.js';
import { outsideRequests } from '../outside-requests.js';
import type { NegotiatedDeflate } from './deflate-options.js';
import { KeptZlib } from './kept-zlib.js';

// `ws` exports the class; its types do not know it.
const { PerMessageDeflate } = ws as typeof ws & {
  readonly PerMessageDeflate: new (options: PerMessageDeflateOptions & { isServer: boolean }) => NegotiatedDeflate;
};

/** What is added to bytes that do not compress, beside an eighth of them if `memLevel` is as low as can be. */
const MOST_OVERHEAD = 64;

/** So many messages are compressed side by side; as in `ws`. */
const DEFAULT_CONCURRENCY_LIMIT = 10;

// As many as that, and some that wait for the next fragment of their message.
const MOST_IDLE_CODECS = 16;

/** Messages shorter than this are not worth compressing; as in `ws`. */
const DEFAULT_THRESHOLD = 1024;

/** How much of a message goes to another thread at once, and comes back at once. */
export type Portions = 'small' | 'large';

/**
 * Bytes of a portion, in either direction. With the 16 KiB of zlib the trips take as long as the inflating; 256 KiB are half
 * as fast again as 64, and are given to long messages only, since all that is inflated to the same portion is kept together.
 */
export const PORTION_SIZE: Readonly<Record<Portions, number>> = { small: 64 * 1024, large: 256 * 1024 };

/** Whoever uses an {@link InflateCodec}. */
export interface InflateEvents {
  /** The next piece of output. */
  onInflated(chunk: Buffer): void;
  /** zlib has taken all input; its last output may still wait in the stream if that is paused. */
  onConsumed(): void;
  /** The input is not a DEFLATE stream. */
  onError(error: Error): void;
}

/** A zlib stream that reports to whoever has it at the moment. */
export class InflateCodec {
  readonly stream: InflateRaw;
  readonly windowBits: number;
  readonly portions: Portions;
  owner: InflateEvents | undefined;
  #written = 0;
  #takenBefore = 0;

  constructor(stream: InflateRaw, windowBits: number, portions: Portions) {
    this.stream = stream;
    this.windowBits = windowBits;
    this.portions = portions;
    stream.on('data', (chunk: Buffer) => this.owner?.onInflated(chunk));
    stream.on('error', (error) => this.owner?.onError(error));
  }

  /** Whether the stream was ended by a final block, so that zlib has left input and takes no more. */
  get isFinished(): boolean {
    return this.stream.bytesWritten < this.#written;
  }

  /** Whether the stream had been ended before the last write. */
  get tookNothing(): boolean {
    return this.stream.bytesWritten === this.#takenBefore;
  }

  write(input: Buffer): void {
    this.#takenBefore = this.stream.bytesWritten;
    this.#written += input.length;
    this.stream.write(input, (error) => {
      if (!error) this.owner?.onConsumed();
    });
  }

  close(): void {
    this.owner = undefined;
    this.stream.destroy();
  }
}

/** Codecs of messages without context takeover, which any connection with the same options and window can use. */
export class DeflatePool {
  static readonly #pools: WeakMap<PerMessageDeflateOptions, DeflatePool> = new WeakMap();

  readonly #options: PerMessageDeflateOptions;
  readonly #inflaters: Readonly<Record<Portions, Map<number, InflateCodec[]>>> = { small: new Map(), large: new Map() };
  /** Inflates small messages, by the window. */
  readonly #kept: Map<number, KeptZlib> = new Map();
  readonly #settings: Map<number, DeflateSetting> = new Map();

  private constructor(options: PerMessageDeflateOptions) {
    this.#options = options;
  }

  /** The pool of all connections with these very options. */
  static of(options: PerMessageDeflateOptions): DeflatePool {
    let pool = DeflatePool.#pools.get(options);
    if (pool === undefined) {
      pool = new DeflatePool(options);
      DeflatePool.#pools.set(options, pool);
    }
    return pool;
  }

  /** @throws if zlib refuses the options */
  createInflater(windowBits: number, portions: Portions, window?: Buffer): InflateCodec {
    const options = { chunkSize: PORTION_SIZE[portions], ...this.#options.zlibInflateOptions, windowBits };
    const stream = outsideRequests(() =>
      createInflateRaw(window?.length ? { ...options, dictionary: window } : options),
    );
    return new InflateCodec(stream, windowBits, portions);
  }

  /**
   * Inflates a whole message that refers to no other one in this thread, the trailer included.
   *
   * @returns `undefined` if it is more than `limit` bytes, or if a stream has to say what is the matter
   */
  inflateAtOnce(input: Buffer, windowBits: number, limit: number): Buffer | undefined {
    let kept = this.#kept.get(windowBits);
    if (kept === undefined) {
      kept = new KeptZlib(() => createInflateRaw({ ...this.#options.zlibInflateOptions, windowBits }));
      this.#kept.set(windowBits, kept);
    }
    return kept.run(input, limit);
  }

  /** @throws if zlib refuses the options */
  takeInflater(windowBits: number, portions: Portions): InflateCodec {
    return this.#inflaters[portions].get(windowBits)?.pop() ?? this.createInflater(windowBits, portions);
  }

  giveInflater(codec: InflateCodec): void {
    codec.owner = undefined;
    const inflaters = this.#inflaters[codec.portions];
    const idle = inflaters.get(codec.windowBits);
    if (idle === undefined) inflaters.set(codec.windowBits, [codec]);
    else if (idle.length < MOST_IDLE_CODECS) idle.push(codec);
    else {
      codec.close();
      return;
    }
    codec.stream.reset();
  }

  /** The same object for all connections with these options that have agreed upon this window. */
  setting(windowBits: number): DeflateSetting {
    let setting = this.#settings.get(windowBits);
    if (setting === undefined) {
      setting = new DeflateSetting(this.#options, windowBits);
      this.#settings.set(windowBits, setting);
    }
    return setting;
  }
}

/** Takes the payload of a compressed message, which is empty if it could not be compressed. */
export type CompressedCallback = (error: Error | null, out: Buffer) => void;

/** How messages are compressed that do not refer to earlier ones, and the compressors for it. */
export class DeflateSetting {
  readonly #options: PerMessageDeflateOptions;
  readonly #windowBits: number;
  readonly #idle: NegotiatedDeflate[] = [];
  /** How many whole messages may be compressed side by side. */
  readonly #mostRunning: number;
  #running = 0;
  /** Compresses small messages. */
  readonly #kept: KeptZlib;
  /** Whole messages that wait for a compressor: the first, which knows the next, and the last. */
  #first: DeflateJob | undefined;
  #last: DeflateJob | undefined;
  /** Messages shorter than this are not worth compressing. */
  readonly threshold: number;

  constructor(options: PerMessageDeflateOptions, windowBits: number) {
    this.#options = options;
    this.#windowBits = windowBits;
    this.threshold = options.threshold ?? DEFAULT_THRESHOLD;
    this.#mostRunning = options.concurrencyLimit ?? DEFAULT_CONCURRENCY_LIMIT;
    this.#kept = new KeptZlib(() => createDeflateRaw({ ...options.zlibDeflateOptions, windowBits } as ZlibOptions));
  }

  /**
   * Compresses a whole message that refers to no other one, behind all that came before: no more side by side than
   * `concurrencyLimit` allows, by as many compressors. To make one takes longer than to compress some KiB.
   */
  compressWhole(data: Buffer, callback: CompressedCallback): void {
    const job: DeflateJob = { data, callback, next: undefined };
    if (this.#running < this.#mostRunning) {
      this.#running++;
      this.#run(job);
      return;
    }
    if (this.#last === undefined) this.#first = job;
    else this.#last.next = job;
    this.#last = job;
  }

  #run({ data, callback }: DeflateJob): void {
    const codec = this.takeDeflater();
    const done: CompressedCallback = (error, out) => {
      if (error === null) this.giveDeflater(codec);
      else codec.cleanup();
      this.#runNext();
      callback(error, out);
    };
    compressWith(codec, data, true, done);
  }

  #runNext(): void {
    const job = this.#first;
    if (job === undefined) {
      this.#running--;
      return;
    }
    this.#first = job.next;
    if (job.next === undefined) this.#last = undefined;
    this.#run(job);
  }

  /**
   * Compresses a whole message that refers to no other one in this thread, which `PerMessageDeflate` of `ws` does in others
   * only.
   *
   * @returns `undefined` if that cannot be done: {@link compressWhole} then says why
   */
  compressAtOnce(data: Uint8Array): Buffer | undefined {
    const out = this.#kept.run(data, data.length + (data.length >> 3) + MOST_OVERHEAD);
    // RFC 7692, section 7.2.1: an empty block ends it, of which the last four bytes are not sent.
    return out?.subarray(0, -4);
  }

  takeDeflater(): NegotiatedDeflate {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    const deflate = new PerMessageDeflate({ ...this.#options, isServer: true });
    deflate.params = { server_no_context_takeover: true, server_max_window_bits: this.#windowBits };
    return deflate;
  }

  giveDeflater(codec: NegotiatedDeflate): void {
    if (this.#idle.length < MOST_IDLE_CODECS) this.#idle.push(codec);
    else codec.cleanup();
  }
}

/** Compresses a fragment, or a whole message. The callback is also told of what `ws` throws, and never before the call returns. */
export function compressWith(
  codec: NegotiatedDeflate,
  data: Buffer,
  endOfMessage: boolean,
  callback: CompressedCallback,
): void {
  try {
    // ws makes the stream of zlib, which outlives the request of whoever sends, when it is first used.
    outsideRequests(() => codec.compress(data, endOfMessage, callback));
  } catch (error) {
    // zlib refuses its options, or there is no memory for a context.
    eventLoop.nextTick(callback, error, EMPTY);
  }
}

/** A whole message that is to be compressed. */
interface DeflateJob {
  readonly data: Buffer;
  readonly callback: CompressedCallback;
  next: DeflateJob | undefined;
}

const EMPTY = Buffer.alloc(0);
