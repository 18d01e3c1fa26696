import type { PerMessageDeflateOptions } from 'ws';
import { DEFAULT_WINDOW_BITS, DEFLATE_DEFAULTS, type NegotiatedDeflate } from './deflate-options.js';
import { DeflatePool, type InflateCodec, type InflateEvents, PORTION_SIZE, type Portions } from './deflate-pool.js';
import { COMPRESSED, MESSAGE_END, MESSAGE_START, TEXT } from './frame-reader.js';
import { InflateWindow } from './inflate-window.js';
import { lastingContexts } from './lasting-contexts.js';
import { TurnBudget } from './turn-budget.js';

const EMPTY = Buffer.alloc(0);
const NONE: readonly Buffer[] = [];
// Ends every message and is not sent (RFC 7692, section 7.2.2).
const TRAILER = Buffer.of(0x00, 0x00, 0xff, 0xff);

/** Up to so many bytes, a message is inflated in about the time that it takes to give it to another thread and back. */
const AT_ONCE = 4 * 1024;
/** As long as it does not become more than this. */
const MOST_AT_ONCE = 16 * 1024;
/** A message takes about as long as so many bytes of output, beside those. */
const WEIGHT_AT_ONCE = 8 * 1024;
/** For one or two milliseconds in a turn: a chunk of 64 KiB may hold thousands of messages that inflate to 16 KiB each. */
const atOnce = new TurnBudget(1024 * 1024);

/** A message is long if so much of it has come with its first portion, or is about to come. */
const LONG_FROM = PORTION_SIZE.small / 2;
/** At most so many times as much as has come is believed of what a peer has announced. */
const MOST_BELIEVED_PER_BYTE = 16;

// Waiting pieces weigh this much beyond their bytes, so that tiny ones are not free.
const PIECE_WEIGHT = 64;

/** What a {@link MessageInflater} is given beside the agreement. */
export interface MessageInflaterOptions {
  /** Most bytes of one inflated message; 1009 beyond. `Infinity` for no limit. */
  readonly maxPayload: number;
  /** Whether long messages may be inflated in large portions. */
  readonly largePortions?: boolean;
  /** The options that the agreement was reached with. Default {@link DEFLATE_DEFAULTS}. */
  readonly options?: PerMessageDeflateOptions;
  /** A piece of a message: `chunk[start, end)`, with TEXT, MESSAGE_START and MESSAGE_END as a frame reader gives them. */
  readonly onData: (chunk: Buffer, start: number, end: number, flags: number) => void;
  /** The peer broke the protocol or the limit; close with `closeCode`. Nothing is reported after it. */
  readonly onFault: (closeCode: number, message: string) => void;
  /** Nothing refers any more to a chunk that was a piece as a whole, or that pieces were put together in. */
  readonly onSpent?: (chunk: Buffer) => void;
  /** Told `true` when so much input waits to be inflated that no more should be read, `false` when more can be taken. */
  readonly onBackpressure?: (full: boolean) => void;
}

/** Input that waits: a piece, or a callback that waits for the pieces before it. */
type Waiting =
  | {
      readonly chunk: Buffer;
      readonly start: number;
      readonly end: number;
      readonly flags: number;
      readonly rest: number;
    }
  | (() => void);

/**
 * Inflates the messages of one connection as they arrive (RFC 7692, section 7.2.2).
 *
 * `PerMessageDeflate#decompress` of `ws` returns what a frame inflates to as a whole: it can be neither paused nor kept
 * from turning 64 KiB into 64 MiB. Here zlib's output is taken a portion at a time, and the next one is only made when
 * the reader has room for it and the limit allows it.
 */
export class MessageInflater implements InflateEvents {
  readonly #options: MessageInflaterOptions;
  readonly #pool: DeflatePool;
  readonly #windowBits: number;
  readonly #takeover: boolean;

  #waiting: Waiting[] = [];
  #next = 0;
  #bytes = 0;
  #full = false;
  #paused = false;
  #destroyed = false;
  #running = false;

  // The job under way: zlib has some input, and maybe has consumed it, but not all its output has been passed on.
  #codec: InflateCodec | undefined;
  #busy = false;
  #consumed = false;
  #endsMessage = false;
  /** The chunk that the job has for its input, if nothing else is in it. */
  #spent: readonly Buffer[] = NONE;
  /** Input that begins a message, in case the stream turns out to have been ended by the message before. */
  #again: Buffer | undefined;

  /** How the message under way is inflated. */
  #portions: Portions = 'small';

  // The message under way. A piece is held back until it is known whether another one follows.
  #unreported: Buffer | undefined;
  #total = 0;
  #flags = 0;
  #begun = false;
  #started = false;
  #finished = false;

  /** With context takeover. */
  #window: InflateWindow | undefined;

  constructor(deflate: NegotiatedDeflate, options: MessageInflaterOptions) {
    const { client_max_window_bits: windowBits, client_no_context_takeover: noTakeover = false } = deflate.params ?? {};
    this.#options = options;
    this.#pool = DeflatePool.of(options.options ?? DEFLATE_DEFAULTS);
    this.#windowBits = typeof windowBits === 'number' ? windowBits : DEFAULT_WINDOW_BITS;
    this.#takeover = !noTakeover;
  }

  /** Bytes of input that wait to be inflated. */
  get bufferedAmount(): number {
    return this.#bytes;
  }

  /**
   * Takes the next piece, compressed or not, behind which `rest` bytes of the same frame are to come: pieces are passed on in
   * order. `chunk` must not change any more.
   */
  write(chunk: Buffer, start: number, end: number, flags: number, rest = 0): void {
    if (this.#destroyed) return;
    this.#bytes += end - start;
    this.#waiting.push({ chunk, start, end, flags, rest });
    this.#run();
    this.#reportPressure();
  }

  /** Calls back when everything written before has been passed on: at once if nothing waits. Never after a fault. */
  after(callback: () => void): void {
    if (this.#destroyed) return;
    this.#waiting.push(callback);
    this.#run();
  }

  /** Passes nothing on until {@link resume}; zlib stops soon as well. May be called from within `onData`. */
  pause(): void {
    this.#paused = true;
    if (this.#busy) this.#codec?.stream.pause();
  }

  /** Goes on after {@link pause}. */
  resume(): void {
    this.#paused = false;
    if (this.#busy) {
      this.#codec?.stream.resume();
      this.#endJobIfDone();
    }
    this.#run();
    this.#reportPressure();
  }

  /** Drops what waits and frees what zlib holds. Nothing is called back any more. */
  destroy(): void {
    this.#destroyed = true;
    this.#waiting = [];
    this.#next = 0;
    this.#bytes = 0;
    this.#unreported = undefined;
    this.#again = undefined;
    this.#spent = NONE;
    lastingContexts.forget(this);
    this.dropContext();
    this.#window = undefined;
  }

  /** The context has not been used for long: the window is enough to go on from. */
  dropContext(): void {
    this.#codec?.close();
    this.#codec = undefined;
  }

  // InflateEvents

  onInflated(chunk: Buffer): void {
    this.#total += chunk.length;
    if (this.#total > this.#options.maxPayload) {
      this.#fault(1009, `A message inflates to more than the limit of ${this.#options.maxPayload} bytes`);
      return;
    }
    const unreported = this.#unreported;
    this.#unreported = chunk;
    if (this.#takeover) {
      this.#window ??= new InflateWindow(1 << this.#windowBits);
      this.#window.write(chunk);
    }
    if (unreported !== undefined) this.#emit(unreported, 0);
    this.#endJobIfDone();
  }

  onConsumed(): void {
    this.#consumed = true;
    this.#endJobIfDone();
  }

  onError(error: Error): void {
    this.#fault(1007, `A compressed message cannot be inflated: ${error.message}`);
  }

  #run(): void {
    if (this.#running) return;
    this.#running = true;
    while (!this.#busy && this.#next < this.#waiting.length) {
      const waiting = this.#waiting[this.#next] as Waiting;
      if (typeof waiting === 'function') {
        this.#next++;
        waiting();
      } else if (this.#paused) {
        break;
      } else if ((waiting.flags & COMPRESSED) === 0) {
        this.#next++;
        this.#bytes -= waiting.end - waiting.start;
        this.#options.onData(waiting.chunk, waiting.start, waiting.end, waiting.flags);
      } else {
        this.#startJob();
      }
    }
    this.#running = false;
    if (this.#next === this.#waiting.length) {
      this.#waiting = [];
      this.#next = 0;
    }
  }

  /** Hands zlib the pieces of one message that wait. */
  #startJob(): void {
    const parts: Buffer[] = [];
    const chunks: Buffer[] = [];
    let size = 0;
    let flags = 0;
    let rest = 0;
    // Pieces that wait are inflated together: a message cut into a million frames would take a million trips otherwise.
    const portion = PORTION_SIZE[this.#portions];
    while (this.#next < this.#waiting.length && size < portion && (flags & MESSAGE_END) === 0) {
      const waiting = this.#waiting[this.#next] as Waiting;
      if (typeof waiting === 'function') break;
      this.#next++;
      parts.push(waiting.chunk.subarray(waiting.start, waiting.end));
      if (waiting.end - waiting.start === waiting.chunk.length) chunks.push(waiting.chunk);
      size += waiting.end - waiting.start;
      flags = waiting.flags;
      rest = waiting.rest;
    }
    this.#bytes -= size;
    this.#flags = flags & TEXT;
    this.#endsMessage = (flags & MESSAGE_END) !== 0;
    if (this.#endsMessage) parts.push(TRAILER);
    // What follows a final block (RFC 7692, section 7.2.3.4) is of no use: zlib would not take it.
    if (this.#finished) {
      this.#endJob();
      return;
    }
    let input = parts[0] as Buffer;
    this.#spent = chunks;
    if (parts.length > 1) {
      input = Buffer.concat(parts);
      this.#report(chunks);
      // Node cuts small buffers from a pool
      this.#spent = input.length === input.buffer.byteLength ? [input] : NONE;
    }
    const isWhole = this.#endsMessage && !this.#begun;
    if (isWhole && size <= AT_ONCE && !this.#takeover && atOnce.hasRest && this.#inflateAtOnce(input)) return;
    this.#busy = true;
    this.#consumed = false;
    if (!this.#begun) {
      const isLong = size + Math.min(rest, size * MOST_BELIEVED_PER_BYTE) >= LONG_FROM;
      this.#portions = isLong && this.#options.largePortions === true ? 'large' : 'small';
    }
    this.#again = this.#takeover && !this.#begun ? input : undefined;
    this.#begun = !this.#endsMessage;
    this.#open()?.write(input);
  }

  /** @returns false if zlib has to have its say in pieces: of a large message, or one that cannot be inflated */
  #inflateAtOnce(input: Buffer): boolean {
    atOnce.take(WEIGHT_AT_ONCE);
    const out = this.#pool.inflateAtOnce(input, this.#windowBits, Math.min(MOST_AT_ONCE, this.#options.maxPayload));
    if (out === undefined) return false;
    atOnce.take(out.length);
    this.#unreported = out;
    const spent = this.#spent;
    this.#spent = NONE;
    this.#report(spent);
    this.#endJob();
    return true;
  }

  #open(): InflateCodec | undefined {
    if (this.#takeover) lastingContexts.use(this);
    // Only at the beginning of a message, where the window is enough to go on from.
    if (this.#codec?.portions === 'small' && this.#portions === 'large') this.dropContext();
    try {
      this.#codec ??= this.#takeover
        ? this.#pool.createInflater(this.#windowBits, this.#portions, this.#window?.toBuffer())
        : this.#pool.takeInflater(this.#windowBits, this.#portions);
    } catch (error) {
      // Only options that zlib refuses, or want of memory.
      this.#fault(1011, `Compressed messages cannot be inflated: ${String(error)}`);
      return undefined;
    }
    this.#codec.owner = this;
    return this.#codec;
  }

  /** Pieces that zlib made while nobody could take them may still be in its stream when the input has been consumed. */
  #endJobIfDone(): void {
    const codec = this.#codec;
    if (codec === undefined || !this.#consumed || this.#paused || codec.stream.readableLength > 0) return;
    const again = this.#again;
    this.#again = undefined;
    if (codec.isFinished) {
      this.dropContext();
      if (again !== undefined && codec.tookNothing) {
        // The block that the trailer completes may have been a final one; the client's window goes on all the same.
        this.#consumed = false;
        this.#open()?.write(again);
        return;
      }
      this.#finished = true;
    }
    this.#busy = false;
    const spent = this.#spent;
    this.#spent = NONE;
    this.#report(spent);
    this.#endJob();
    this.#run();
    this.#reportPressure();
  }

  #endJob(): void {
    const unreported = this.#unreported;
    this.#unreported = undefined;
    if (!this.#endsMessage) {
      if (unreported !== undefined) this.#emit(unreported, 0);
      return;
    }
    this.#total = 0;
    this.#finished = false;
    if (this.#takeover) lastingContexts.keep(this);
    else this.#giveBack();
    this.#emit(unreported ?? EMPTY, MESSAGE_END);
  }

  #report(spent: readonly Buffer[]): void {
    const { onSpent } = this.#options;
    if (onSpent !== undefined) for (const chunk of spent) onSpent(chunk);
  }

  #giveBack(): void {
    if (this.#codec !== undefined) this.#pool.giveInflater(this.#codec);
    this.#codec = undefined;
  }

  #emit(chunk: Buffer, flags: number): void {
    const start = this.#started ? 0 : MESSAGE_START;
    this.#started = (flags & MESSAGE_END) === 0;
    this.#options.onData(chunk, 0, chunk.length, this.#flags | start | flags);
  }

  #reportPressure(): void {
    const weight = this.#bytes + (this.#waiting.length - this.#next) * PIECE_WEIGHT;
    const portion = PORTION_SIZE[this.#portions];
    const full = this.#full ? weight > portion / 2 : weight > portion;
    if (full === this.#full || this.#destroyed) return;
    this.#full = full;
    this.#options.onBackpressure?.(full);
  }

  #fault(closeCode: number, message: string): void {
    this.destroy();
    this.#options.onFault(closeCode, message);
  }
}
