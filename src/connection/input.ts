import type { PerMessageDeflateOptions } from 'ws';
import { WebSocketError } from '../errors.js';
import { eventLoop } from '../event-loop.js';
import type { NegotiatedDeflate } from '../framing/deflate-options.js';
import { ASCII, FrameReader, type FrameSink, MESSAGE_END, TEXT } from '../framing/frame-reader.js';
import { MessageInflater } from '../framing/inflater.js';
import { Utf8Validator } from '../framing/utf8.js';
import { onAbort } from './cancellation.js';
import { inLaterTurn } from './deferred.js';
import * as failures from './failures.js';
import { type Reader, ReceiveQueue, type ReceiveQueueOwner } from './receive-queue.js';

/** permessage-deflate of a connection: what was agreed, and the options that led to it. */
export interface Compression {
  readonly negotiated: NegotiatedDeflate;
  readonly options: PerMessageDeflateOptions;
}

/** What the input asks of its connection. */
export interface InputOwner {
  /** Nobody reads: stop the sender. */
  pauseInput(): void;
  /** There is room again. */
  resumeInput(): void;
  /** A ping has arrived; `payload` is valid during the call only. */
  pinged(payload: Buffer): void;
  /** A pong has arrived; `payload` is valid during the call only. */
  ponged(payload: Buffer): void;
  /** The peer's close frame has arrived, and all data before it. */
  peerClosed(code: number, reason: string): void;
  /** A reader has been told of the peer's close. */
  closeRead(): void;
  /** The peer broke the protocol or a limit, and readers have had their turn: close with `closeCode`. */
  faulted(closeCode: number, error: WebSocketError): void;
}

/** How input ended: with the peer's close frame, or with an error. */
type InputEnd = 'close' | WebSocketError;

/** What is read: fragments, messages, … */
export interface ReadKind<T> {
  /** Takes the result from the queue, `undefined` if it is not there yet. */
  take(queue: ReceiveQueue): T | undefined;
  /** The result when the peer has closed. */
  readonly atClose: T;
  /** Needs a whole message. */
  readonly wantsMessage: boolean;
  /** Goes on reporting the close, as an iterator does, where other reads fail after the first time. */
  readonly closeRepeats: boolean;
}

/** A read that waits. Its promise settles exactly once. */
class PendingRead<T> implements Reader {
  readonly #queue: ReceiveQueue;
  readonly kind: ReadKind<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
  /** Stops listening for cancellation. */
  release: (() => void) | undefined;

  constructor(queue: ReceiveQueue, kind: ReadKind<T>, resolve: (value: T) => void, reject: (reason: unknown) => void) {
    this.#queue = queue;
    this.kind = kind;
    this.resolve = resolve;
    this.reject = reject;
  }

  onReadable(): void {
    this.release?.();
    let value: T;
    try {
      // The queue tells a reader only when there is what it waits for.
      value = this.kind.take(this.#queue) as T;
    } catch (error) {
      // The reader's own buffer is gone.
      this.reject(error);
      return;
    }
    this.resolve(value);
  }

  closed(): void {
    this.release?.();
    this.resolve(this.kind.atClose);
  }

  failed(reason: unknown): void {
    this.release?.();
    this.reject(reason);
  }
}

/** The receiving half of a connection: chunks of the socket in, fragments and messages out, at the reader's pace. */
export class Input implements FrameSink, ReceiveQueueOwner {
  readonly #owner: InputOwner;
  readonly #frames: FrameReader;
  readonly #queue: ReceiveQueue;
  readonly #inflater: MessageInflater | undefined;
  #validator: Utf8Validator | undefined;
  /** More compressed input waits than is inflated at once. */
  #inflaterFull = false;
  #end: InputEnd | undefined;
  /** The peer's fault, behind which nothing is read. It is the end of input when this turn is over. */
  #broke: WebSocketError | undefined;
  #endReported = false;
  #sawData = false;
  /** Messages that have arrived completely. */
  messages = 0;
  /** How many reads have begun. */
  reads = 0;

  constructor(
    owner: InputOwner,
    limits: { readonly receiveBufferLimit: number; readonly maxPayload: number },
    deflate: Compression | undefined,
  ) {
    this.#owner = owner;
    this.#frames = new FrameReader(this, { maxPayload: limits.maxPayload, compression: deflate !== undefined });
    this.#queue = new ReceiveQueue(this, limits.receiveBufferLimit);
    if (deflate !== undefined) {
      this.#inflater = new MessageInflater(deflate.negotiated, {
        maxPayload: limits.maxPayload,
        options: deflate.options,
        onData: (chunk, start, end, flags) => this.#accept(chunk, start, end, flags, 0),
        onFault: (closeCode, message) => this.#broken(closeCode, message),
        onBackpressure: (full) => {
          this.#inflaterFull = full;
          if (full) owner.pauseInput();
          else owner.resumeInput();
        },
      });
    }
  }

  /** Whether we have stopped the sender because nobody reads. */
  get paused(): boolean {
    return this.#queue.paused || this.#inflaterFull;
  }

  /** Whether somebody waits for input. */
  get hasReader(): boolean {
    return this.#queue.hasReader;
  }

  /** Whether somebody who reads has been told of the peer's close. */
  get isCloseRead(): boolean {
    return this.#end === 'close' && this.#endReported;
  }

  /** Whether nothing but whole control frames has come so far. */
  get isUntouched(): boolean {
    return !this.#sawData && this.#frames.isBetweenMessages;
  }

  /** Bytes of messages that have arrived and have not been read. */
  get held(): number {
    return this.#queue.held + (this.#inflater?.bufferedAmount ?? 0);
  }

  /** Whether the peer has broken the protocol, or a limit. */
  get isBroken(): boolean {
    return this.#broke !== undefined;
  }

  /** Takes a chunk of the socket. It is unmasked in place. */
  push(chunk: Buffer): void {
    if (!this.#queue.isEmpty) this.#queue.settle();
    this.#frames.push(chunk);
  }

  /** Reads what `kind` says; one read at a time. Rejects with the reason of `signal` if that fires first. */
  read<T>(kind: ReadKind<T>, signal: AbortSignal | undefined): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#queue.hasReader) {
      return inLaterTurn((_resolve, reject) => reject(failures.receiveInProgress()));
    }
    this.reads++;
    const value = kind.take(this.#queue);
    if (value !== undefined) return Promise.resolve(value);
    if (this.#end !== undefined) return this.#readEnd(kind, this.#end);
    return new Promise((resolve, reject) => {
      const pending = new PendingRead(this.#queue, kind, resolve, reject);
      if (signal !== undefined) {
        pending.release = onAbort(signal, () => this.cancelRead(signal.reason));
      }
      this.#queue.wait(pending, kind.wantsMessage);
    });
  }

  /** Lets go of a pending read; not a byte is lost. */
  cancelRead(reason: unknown): void {
    this.#unpend()?.failed(reason);
  }

  /** Runs `callback` when all input before now has reached the queue, unless there has been a fault in it. */
  afterwards(callback: () => void): void {
    if (this.#broke !== undefined) return;
    if (this.#inflater === undefined) callback();
    else this.#inflater.after(callback);
  }

  /** Throws away what is unread, and what arrives; a read that is pending gets its due before. */
  discard(): void {
    this.#queue.discard();
  }

  /** Throws away what nobody reads instead of stopping the sender, so that its close frame is seen. */
  shed(): void {
    this.#queue.shed();
  }

  /** No more input, because of `error`. What has arrived can still be read; then the error is reported once. */
  fail(error: WebSocketError): void {
    if (this.#end !== undefined) return;
    this.#frames.stop();
    this.#inflater?.destroy();
    // Whatever else happens in the turn of a fault, that is why there is no more input.
    this.#finish(this.#broke ?? error);
  }

  /** No more input, and what is unread is dropped. A pending read rejects with `error`. */
  abort(error: WebSocketError): void {
    this.#frames.stop();
    this.#inflater?.destroy();
    this.#queue.clear();
    this.#end = error;
    this.#endReported = true;
    this.#unpend()?.failed(error);
  }

  // FrameSink

  onData(chunk: Buffer, start: number, end: number, flags: number, rest: number): void {
    this.#sawData = true;
    const inflater = this.#inflater;
    if (inflater === undefined) this.#accept(chunk, start, end, flags, rest);
    else inflater.write(chunk, start, end, flags);
  }

  onPing(payload: Buffer): void {
    this.#owner.pinged(payload);
  }

  onPong(payload: Buffer): void {
    this.#owner.ponged(payload);
  }

  onClose(code: number, reason: string): void {
    this.afterwards(() => this.#closed(code, reason));
  }

  onFault(closeCode: number, message: string): void {
    // What came before it may still have to be inflated, and is to be read.
    this.afterwards(() => this.#broken(closeCode, message));
  }

  // ReceiveQueueOwner

  pauseInput(): void {
    this.#inflater?.pause();
    this.#owner.pauseInput();
  }

  resumeInput(): void {
    this.#inflater?.resume();
    this.#owner.resumeInput();
  }

  messageTooBig(limit: number): void {
    this.#queue.clear();
    const error = new WebSocketError(
      'ERR_WEBSOCKET_MESSAGE_TOO_BIG',
      `Cannot assemble message: it is longer than receiveBufferLimit, which is ${limit} bytes; raise the limit or read fragments with receiveAsync`,
    );
    if (this.#end === undefined) {
      this.#fault(1009, error);
    } else {
      // Input has ended, so that there is nobody to tell but the reader.
      this.#end = error;
      this.#endReported = false;
    }
  }

  #accept(chunk: Buffer, start: number, end: number, flags: number, rest: number): void {
    if ((flags & TEXT) !== 0 && !this.#isText(chunk, start, end, flags)) {
      this.#broken(1007, 'Cannot receive: the peer sent a text message that is not valid UTF-8');
      return;
    }
    if ((flags & MESSAGE_END) !== 0) this.messages++;
    this.#queue.push(chunk, start, end, flags, rest);
  }

  /** Whether the message is valid UTF-8 so far. A piece of ASCII needs no look, unless a character is cut before it. */
  #isText(chunk: Buffer, start: number, end: number, flags: number): boolean {
    if ((flags & ASCII) !== 0 && this.#validator === undefined) return true;
    this.#validator ??= new Utf8Validator();
    if (!this.#validator.write(chunk, start, end)) return false;
    if ((flags & MESSAGE_END) === 0) return true;
    const complete = this.#validator.end();
    this.#validator = undefined;
    return complete;
  }

  #readEnd<T>(kind: ReadKind<T>, end: InputEnd): Promise<T> {
    const first = !this.#endReported;
    this.#endReported = true;
    if (end === 'close' && first) this.#owner.closeRead();
    if (first) return end === 'close' ? Promise.resolve(kind.atClose) : Promise.reject(end);
    if (end === 'close' && kind.closeRepeats) return inLaterTurn((resolve) => resolve(kind.atClose));
    return inLaterTurn((_resolve, reject) => reject(failures.nothingToReceive(end)));
  }

  /** The peer broke the protocol or `maxPayload`. */
  #broken(closeCode: number, message: string): void {
    const code = closeCode === 1009 ? 'ERR_WEBSOCKET_MESSAGE_TOO_BIG' : 'ERR_WEBSOCKET_FAULTED';
    this.#fault(closeCode, new WebSocketError(code, message));
  }

  /**
   * Nothing behind a fault is ever seen. It comes in its order, though: who waited for what stood before it is told in
   * this turn of the event loop, and what he answers in it still goes out before the close frame for the fault does.
   */
  #fault(closeCode: number, error: WebSocketError): void {
    this.#broke = error;
    this.#frames.stop();
    this.#inflater?.destroy();
    eventLoop.setImmediate(() => {
      if (this.#end === undefined) this.#owner.faulted(closeCode, error);
    });
  }

  #closed(code: number, reason: string): void {
    // Whoever is told of it may read again.
    this.#end = 'close';
    this.#owner.peerClosed(code, reason);
    this.#finish('close');
  }

  #finish(end: InputEnd): void {
    this.#end = end;
    const pending = this.#unpend();
    if (pending === undefined) return;
    this.#endReported = true;
    if (end === 'close') {
      pending.closed();
      this.#owner.closeRead();
    } else {
      pending.failed(end);
    }
  }

  #unpend(): PendingRead<unknown> | undefined {
    return this.#queue.unwait() as PendingRead<unknown> | undefined;
  }
}
